import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Feed } from '../../src/model/batch-plan.js'
import { trainingSessionOptions } from '../../src/model/session-options.js'

export type Feeds = Readonly<Record<string, Feed>>

/** A session over graph bytes; `folder` holds the external data. Quantised graphs want `prepack`. */
export async function openSession (bytes: Uint8Array, folder: string, { prepack = false, threads = 1 } = {}): Promise<InferenceSession> {
  const options = trainingSessionOptions(folder, threads)
  return InferenceSession.create(bytes, prepack ? { ...options, extra: { session: { ...options.extra.session, disable_prepacking: '0' } } } : options)
}

/** Outputs by name; a `fetch` names the outputs that are wanted. */
export async function runSession (session: InferenceSession, feeds: Feeds, fetches: readonly string[] = session.outputNames): Promise<Record<string, Float32Array>> {
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims)]))
  const outputs = await session.run(tensors, [...fetches])
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data as Float32Array]))
}

export async function evaluate (bytes: Uint8Array, folder: string, feeds: Feeds): Promise<Record<string, Float32Array>> {
  const session = await openSession(bytes, folder)
  try {
    return await runSession(session, feeds)
  } finally {
    await session.release()
  }
}

export const float32 = (data: ArrayLike<number>, ...dims: number[]): Feed => ({ type: 'float32', data: Float32Array.from(data), dims })
export const int32 = (data: ArrayLike<number>, ...dims: number[]): Feed => ({ type: 'int32', data: Int32Array.from(data), dims })
export const int64 = (data: readonly number[], ...dims: number[]): Feed => ({ type: 'int64', data: BigInt64Array.from(data, BigInt), dims })
