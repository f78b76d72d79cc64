import { createHash } from 'node:crypto'
import type { Digest } from '../../digest.js'
import { ServiceError } from '../../errors.js'
import { parseDataRow } from '../../training/data-row.js'
import { Breath } from '../../breath.js'
import { LineSplitter } from './line-splitter.js'

export interface ReceivedFile { readonly bytes: Uint8Array, readonly rows: number, readonly digest: Digest }

/**
 * Take an upload in, checking each line as it arrives. After a bad line the rest is read and dropped: most clients look
 * for the answer only when they have sent everything, and lose it when the connection closes under them.
 * @throws ServiceError `bad_line`, `empty_file`, `body_too_large` over `maxBytes`
 */
export async function receiveJsonl (chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<ReceivedFile> {
  const splitter = new LineSplitter()
  const breath = new Breath()
  const hash = createHash('sha256')
  const kept: Uint8Array[] = []
  let total = 0
  let rows = 0
  let refused: unknown = null
  for await (const chunk of chunks) {
    total += chunk.length
    if (total > maxBytes) throw new ServiceError('body_too_large', `the file is larger than ${maxBytes} bytes`, { param: 'file' })
    if (refused !== null) continue
    hash.update(chunk)
    kept.push(chunk)
    try {
      for (const line of splitter.push(chunk)) {
        parseDataRow(line.text, line.number)
        rows++
        await breath.pause()
      }
    } catch (error) {
      refused = error
      kept.length = 0
    }
  }
  if (refused !== null) throw refused
  for (const line of splitter.end()) {
    parseDataRow(line.text, line.number)
    rows++
  }
  if (rows === 0) throw new ServiceError('empty_file', 'the file has no rows', { param: 'file' })
  return { bytes: Buffer.concat(kept, total), rows, digest: `sha256:${hash.digest('hex')}` }
}
