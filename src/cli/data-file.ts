import { readFile } from 'node:fs/promises'
import type { DataRow } from '../training/data-row.js'
import { readRows } from '../api/jsonl/read-rows.js'
import { UsageError } from './verb.js'

export interface DataFile { readonly bytes: Uint8Array, readonly rows: readonly DataRow[] }

/**
 * A JSONL file with the server's own checks, so that a bad line is found before anything is sent.
 * @throws UsageError when it can not be read; ServiceError `bad_line` with the line number
 */
export async function readDataFile (path: string): Promise<DataFile> {
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw new UsageError(`${path} can not be read: ${(error as Error).message}`, { cause: error })
  }
  const rows: DataRow[] = []
  for await (const { row } of readRows(bytes)) rows.push(row)
  if (rows.length === 0) throw new UsageError(`${path} has no rows`)
  return { bytes, rows }
}
