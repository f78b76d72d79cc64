/** The product's own engine in this process: once with a prompt in front of each row, once with text in its place. */
import type { Digest } from '../../src/digest.js'
import type { RunningService } from '../../src/inference/start-service.js'
import { generate, submit, tokenIds } from '../../test/inference/tiny-service.js'
import { BenchFailure } from '../failure.js'
import type { Load, Row, Run, Subject } from './subject.js'

export const WITH_PROMPTS = 'prompts'
export const WITHOUT_PROMPTS = 'no prompts'

/** @param prompts by number; already loaded */
export function withPrompts (service: RunningService, prompts: readonly Digest[]): Subject {
  return subject(WITH_PROMPTS, async load => await run(service, load, ({ prompt, input }) => ({ prompt: prompts[prompt]!, input })))
}

export function withoutPrompts (service: RunningService): Subject {
  return subject(WITHOUT_PROMPTS, async load => await run(service, load, ({ context, input }) => ({ prompt: null, input: [...context, ...input] })))
}

/** Closing it leaves the service, which both share, to who started it. */
function subject (name: string, run: Subject['run']): Subject {
  return { name, run, async close () {} }
}

async function run (service: RunningService, { rows, maxTokens }: Load, requestOf: (row: Row) => { prompt: Digest | null, input: readonly number[] }): Promise<Run> {
  const begunAt = performance.now()
  const answers = await Promise.all(rows.map(async row => {
    const { prompt, input } = requestOf(row)
    const times: number[] = []
    const { done } = await submit(service, generate([...input], { prompt, maxTokens }), new AbortController().signal, ({ type }) => {
      if (type === 'token') times.push(performance.now())
    })
    const events = await done
    const last = events.at(-1)!
    if (last.type === 'failed') throw new BenchFailure(`${last.code}: ${last.message}`)
    return { times, ids: tokenIds(events) }
  }))
  return { begunAt, tokens: answers.map(({ times }) => times), ids: answers.map(({ ids }) => ids) }
}
