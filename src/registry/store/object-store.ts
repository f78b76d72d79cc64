/**
 * Where bytes live that must outlive every process: artifacts, uploaded files, checkpoints. Keys are `/`-separated
 * paths of `[A-Za-z0-9._:-]+` segments. A put is atomic and durable when its promise resolves: a reader sees the whole
 * new value or none of it.
 */
export interface ObjectStore {
  put (key: string, bytes: Uint8Array): Promise<void>
  /** Null when there is no such key. */
  get (key: string): Promise<Uint8Array | null>
  has (key: string): Promise<boolean>
  /** Keys below a prefix, sorted. */
  list (prefix: string): Promise<string[]>
  delete (key: string): Promise<void>
}
