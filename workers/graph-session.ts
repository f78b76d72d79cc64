import { setImmediate } from 'node:timers/promises'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Feed } from '../src/model/batch-plan.js'
import { trainingSessionOptions } from '../src/model/session-options.js'

/** One graph over the mapped weights of a base. `run` occupies the calling thread until it is done. */
export class GraphSession {
  readonly #session: InferenceSession

  private constructor (session: InferenceSession) {
    this.#session = session
  }

  static async open (graph: Uint8Array, baseFolder: string, threads: number): Promise<GraphSession> {
    return new GraphSession(await InferenceSession.create(graph, trainingSessionOptions(baseFolder, threads)))
  }

  /**
   * Float32 outputs by name. A run cannot be interrupted, so messages are let in before each: a signal takes effect here.
   * @throws the signal's reason
   */
  async run (feeds: Readonly<Record<string, Feed>>, signal: AbortSignal): Promise<Readonly<Record<string, Float32Array>>> {
    await setImmediate()
    signal.throwIfAborted()
    const tensors = Object.fromEntries(Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims)]))
    const outputs = await this.#session.run(tensors)
    return Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, output.data as Float32Array]))
  }

  async close (): Promise<void> {
    await this.#session.release()
  }
}
