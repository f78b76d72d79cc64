import { Arena, prefixLength } from '../../src/inference/arena.js'
import { inTurn } from '../statistics.js'
import { medianTimes, type Times, timesOf } from './times.js'
import { freshService, type Setting, VIRTUAL_TOKENS } from './setting.js'

const ROUNDS = 5
const SWAPS = 2_000
/** Together far larger than the caches of a processor. */
const PREFIXES = 128

/** `floor` is one copy of the same bytes in one piece; a slot has 180 places for them on the default base. */
export interface Warm { readonly prefixBytes: number, readonly swap: Times, readonly floor: Times }

/** Copies of compiled prompts into the slots of an engine, each prefix and slot another one than the last. */
export async function measureWarm (setting: Setting): Promise<Warm> {
  const { engine: { arena }, stop } = await freshService(setting)
  try {
    const prefixes = Array.from({ length: PREFIXES }, (_, index) => new Float32Array(prefixLength(arena.shape, VIRTUAL_TOKENS)).fill(index))
    const measures = { swap: () => swaps(arena, prefixes), floor: () => copies(prefixes) }
    const rounds = { swap: [] as Times[], floor: [] as Times[] }
    for (let round = 0; round < ROUNDS; round++) {
      for (const what of inTurn(['swap', 'floor'] as const, round)) rounds[what].push(measures[what]())
    }
    return { prefixBytes: prefixes[0]!.byteLength, swap: medianTimes(rounds.swap), floor: medianTimes(rounds.floor) }
  } finally {
    await stop(0)
  }
}

function swaps (arena: Arena, prefixes: readonly Float32Array[]): Times {
  return timed(index => arena.write(index % arena.shape.slots, prefixes[index % PREFIXES]!, VIRTUAL_TOKENS))
}

function copies (prefixes: readonly Float32Array[]): Times {
  const { length } = prefixes[0]!
  const target = new Float32Array(PREFIXES * length)
  return timed(index => target.set(prefixes[index % PREFIXES]!, (index * 7 % PREFIXES) * length))
}

function timed (work: (index: number) => void): Times {
  return timesOf(Array.from({ length: SWAPS }, (_, index) => {
    const begun = performance.now()
    work(index)
    return performance.now() - begun
  }))
}
