import { classification, collect } from '../../test/inference/tiny-service.js'
import { inTurn } from '../statistics.js'
import { freshService, INPUT, type Setting, storePrompts } from './setting.js'
import { medianTimes, type Times, timesOf } from './times.js'

const ROUNDS = 3
const REQUESTS = 100
/** Tokens in front of the input. */
const LENGTHS = [4, 8, 16, 30, 60]
/** Behind them. */
export const INPUT_TOKENS = 20
const WAYS = ['run with the input', 'compiled with the prompt'] as const

/** Of a template's first tokens, and how a request takes them in. */
export interface Fixed { readonly tokens: number, readonly way: typeof WAYS[number], readonly request: Times }

/** Classifications one after another, the first tokens of each run with the input or compiled with the prompt. */
export async function measureFixed (setting: Setting): Promise<Fixed[]> {
  const [digest] = await storePrompts(setting, 'prompt-tuning', 2_000, 2_001)
  const service = await freshService(setting)
  const rounds: Fixed[] = []
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const tokens of LENGTHS) {
        const inputIds = Array.from({ length: tokens + INPUT_TOKENS }, (_, index) => INPUT[0]! + index)
        const requests = { [WAYS[0]]: classification(inputIds, digest!), [WAYS[1]]: { ...classification(inputIds, digest!), fixedTokens: tokens } }
        for (const way of WAYS) await collect(service, requests[way])
        const milliseconds: Record<Fixed['way'], number[]> = { [WAYS[0]]: [], [WAYS[1]]: [] }
        for (let request = 0; request < REQUESTS; request++) {
          for (const way of inTurn(WAYS, request)) {
            const begun = performance.now()
            await collect(service, requests[way])
            milliseconds[way].push(performance.now() - begun)
          }
        }
        rounds.push(...WAYS.map(way => ({ tokens, way, request: timesOf(milliseconds[way]) })))
      }
    }
  } finally {
    await service.stop(0)
  }
  return LENGTHS.flatMap(tokens => WAYS.map(way => ({ tokens, way, request: medianTimes(rounds.filter(one => one.tokens === tokens && one.way === way).map(({ request }) => request)) })))
}
