/** The dimensions of one Llama-family base, whatever file they were read from. */
export interface LlamaConfig {
  readonly family: 'llama'
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headSize: number
  readonly intermediateSize: number
  readonly rmsNormEps: number
  /**
   * Float32 angle per position of each rotated pair, `headSize / 2` long. Every supported scaling (linear, llama3, GGUF
   * `rope_freqs`) is a change of these numbers, so nothing behind the importer knows about scalings.
   */
  readonly ropeInverseFrequencies: readonly number[]
  /** Positions the base was trained for. */
  readonly contextLength: number
  /** The head is the embedding table. */
  readonly tiedEmbeddings: boolean
  readonly bosTokenId: number | null
  /** Any of these ends a generation. */
  readonly eosTokenIds: readonly number[]
}

/** Longest context that is taken from a file: rotary tables grow with it, and no Llama is trained for more than 131,072. */
export const MAX_CONTEXT = 1_048_576
