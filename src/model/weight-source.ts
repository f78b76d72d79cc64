import type { LlamaConfig } from './llama-config.js'

/** An opened model file or folder whose header agrees with its configuration. Weight data is read on demand. */
export interface WeightSource {
  readonly config: LlamaConfig
  /** As the file says it; null: it does not. */
  readonly name: string | null
  readonly licence: string | null
  readonly warnings: readonly string[]
  /**
   * Float32 values of a tensor of `llamaTensors(config)`, row-major, Hugging Face row order.
   * @throws MalformedModelError naming tensor and index for a value that is not finite
   */
  read (name: string): Float32Array
  close (): void
}
