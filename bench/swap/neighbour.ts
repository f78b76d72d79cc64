import type { Digest } from '../../src/digest.js'
import type { RunningService } from '../../src/inference/start-service.js'
import { classification, collect, generate, submit } from '../../test/inference/tiny-service.js'
import { inTurn } from '../statistics.js'
import { medianTimes, type Times, timesOf } from './times.js'
import { freshService, INPUT, type Setting, storePrompts } from './setting.js'

const ROUNDS = 3
const TOKENS = 400
/** A request arrives this often. */
const EVERY_MS = 100
/** More than arrive. */
const PROMPTS = 300
const BESIDE = ['nothing', 'requests to a warm prompt', 'requests to cold prompts'] as const

/** Time from token to token of one answer, and what arrived beside it. */
export interface Gaps { readonly beside: typeof BESIDE[number], readonly gap: Times }

export async function measureNeighbour (setting: Setting): Promise<Gaps[]> {
  const digests = await storePrompts(setting, 'prompt-tuning', 1_000, 1_000 + PROMPTS)
  const rounds: Gaps[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const beside of inTurn(BESIDE, round)) {
      const service = await freshService(setting)
      try {
        await collect(service, classification(INPUT, digests[0]!))
        rounds.push({ beside, gap: await gapsBeside(service, beside, digests) })
      } finally {
        await service.stop(0)
      }
    }
  }
  return BESIDE.map(beside => ({ beside, gap: medianTimes(rounds.filter(one => one.beside === beside).map(({ gap }) => gap)) }))
}

async function gapsBeside (service: RunningService, beside: Gaps['beside'], digests: readonly Digest[]): Promise<Times> {
  const gaps: number[] = []
  let last = 0
  const { done } = await submit(service, generate(INPUT, { maxTokens: TOKENS }), undefined, () => {
    const now = performance.now()
    if (last !== 0) gaps.push(now - last)
    last = now
  })
  const others: Array<Promise<unknown>> = []
  const arrival = beside === 'nothing'
    ? undefined
    : setInterval(() => { others.push(collect(service, classification(INPUT, digests[beside === 'requests to cold prompts' ? others.length + 1 : 0]!))) }, EVERY_MS)
  await done
  clearInterval(arrival)
  await Promise.all(others)
  return timesOf(gaps)
}
