/** Options for `InferenceSession.create(bytes, options)` of onnxruntime-node, as plain data: nothing here loads it. */
export interface MappedSessionOptions {
  readonly graphOptimizationLevel: 'all'
  readonly intraOpNumThreads: number
  readonly interOpNumThreads: number
  readonly enableMemPattern: boolean
  readonly logSeverityLevel: 3
  readonly extra: { readonly session: Readonly<Record<string, string>> }
}

/**
 * For graphs whose float32 weights lie in `folder`: they are mapped and shared by all processes instead of packed into
 * private copies, and planned memory, which costs half as much again in training, is off.
 */
export function trainingSessionOptions (folder: string, threads: number): MappedSessionOptions {
  return {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session: { disable_prepacking: '1', model_external_initializers_file_folder_path: folder } }
  }
}
