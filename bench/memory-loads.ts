/** What the service is made to do while its memory is measured. */
import type { ApiClient } from '../src/cli/api-client.js'
import { FINAL_STATES, type JobEvent, type RecipeRequest } from '../src/training/job.js'
import { BenchFailure } from './failure.js'
import { snips } from './load/snips.js'

/** The peak of training is there after a few steps and one evaluation. */
const SHORT_RUN = { max_steps: 12, evaluations: 1 }
const LONG_ROWS = 100
/** Words that are about a token each. */
const HALF_A_ROW = 'the '.repeat(250)

/**
 * Every slot at once holds a sequence that ends where the context does.
 * @throws BenchFailure when the base ended its answers earlier
 */
export async function fillSlots (client: ApiClient, base: string, slots: number, context: number): Promise<void> {
  // Two thirds are input: when the last row has been taken in, the first one still generates.
  const inputs = Array.from({ length: slots }, () => 'the '.repeat(Math.floor(context * 0.68)))
  const { usage } = await client.post<{ usage: { prompt_tokens: number, completion_tokens: number } }>(`/v1/tasks/${base}/infer`, { inputs, max_tokens: Math.floor(context * 0.31) })
  const used = (usage.prompt_tokens + usage.completion_tokens) / slots / context
  if (used < 0.97) throw new BenchFailure(`slots were used to ${(100 * used).toFixed(0)} % only, so the numbers would be too small`)
}

export async function classify (client: ApiClient, task: string): Promise<void> {
  await client.post(`/v1/tasks/${task}/infer`, { input: 'will it rain in Lisbon tomorrow' })
}

/** @returns the id of the file */
export async function upload (client: ApiClient, rows: Buffer): Promise<string> {
  return (await client.upload<{ id: string }>('/v1/files', rows, 'application/jsonl')).id
}

/** A file of `bytes`, but for less than a row. */
export function rowsOfBytes (bytes: number): Buffer {
  const row = `${JSON.stringify({ input: HALF_A_ROW, target: 'the' })}\n`
  return Buffer.from(row.repeat(Math.floor(bytes / row.length)))
}

/** A few steps on SNIPS, all else by default. @returns the id of the job */
export async function trainSnips (client: ApiClient): Promise<string> {
  const { task, file } = snips()
  return await train(client, task, file)
}

/**
 * A few steps on rows as long as `max_length` lets them be by default, half of each to be generated.
 * @param micro_batch_tokens how many tokens go through the model at once
 */
export async function trainLongRows (client: ApiClient, micro_batch_tokens: number): Promise<string> {
  const row = JSON.stringify({ input: HALF_A_ROW, target: HALF_A_ROW })
  return await train(client, { name: `long-${micro_batch_tokens}`, kind: 'generation' }, Buffer.from(`${row}\n`.repeat(LONG_ROWS)), { micro_batch_tokens })
}

async function train (client: ApiClient, task: { readonly name: string, readonly kind: string, readonly labels?: readonly string[] }, rows: Buffer, recipe: RecipeRequest = {}): Promise<string> {
  await client.post('/v1/tasks', task)
  const { id } = await client.post<{ id: string }>('/v1/training-jobs', { task: task.name, training_file: await upload(client, rows), recipe: { ...SHORT_RUN, ...recipe } })
  for await (const { data } of client.follow(`/v1/training-jobs/${id}/events`, ({ data }) => finalState(data as JobEvent) !== null)) {
    const state = finalState(data as JobEvent)
    if (state !== null && state !== 'succeeded') throw new BenchFailure(`training ${task.name} ended as ${state}`)
  }
  return id
}

function finalState (event: JobEvent): string | null {
  return event.type === 'state' && FINAL_STATES.includes(event.state) ? event.state : null
}
