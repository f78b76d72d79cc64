/** Options for `InferenceSession.create(bytes, options)` of onnxruntime-node, as plain data: nothing here loads it. */
export interface MappedSessionOptions {
  readonly graphOptimizationLevel: 'all'
  readonly intraOpNumThreads: number
  readonly interOpNumThreads: number
  readonly enableMemPattern: boolean
  readonly logSeverityLevel: 3
  readonly extra: { readonly session: Readonly<Record<string, string | Readonly<Record<string, string>>>> }
}

/**
 * For graphs whose float32 weights lie in `folder`: they are mapped and shared by all processes instead of packed into
 * private copies, and planned memory, which costs half as much again in training, is off. Threads that wait sleep instead
 * of spinning: 7 % slower alone on 2 cores, 1.4 times as fast beside one busy process, and what serves has the cores.
 */
export function trainingSessionOptions (folder: string, threads: number): MappedSessionOptions {
  return {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session: { disable_prepacking: '1', intra_op: { allow_spinning: '0' }, model_external_initializers_file_folder_path: folder } }
  }
}
