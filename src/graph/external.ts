/** A tensor that stays in a file: ONNX external data. Bytes are little-endian and row-major. */
export interface ExternalTensor {
  readonly dtype: 'float32' | 'int8'
  readonly dims: readonly number[]
  /** File name, relative to the folder of the graph. */
  readonly file: string
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly bytes: number
}
