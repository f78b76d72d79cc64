import { type DataRow, parseDataRow } from '../../training/data-row.js'
import { Breath } from '../../breath.js'
import { LineSplitter } from './line-splitter.js'

/** Small enough that one chunk is a few milliseconds of work. */
const CHUNK_BYTES = 64 * 1024

/** The rows of a stored file with their line numbers; lets the event loop breathe. @throws ServiceError `bad_line` */
export async function * readRows (bytes: Uint8Array): AsyncGenerator<{ readonly line: number, readonly row: DataRow }> {
  const splitter = new LineSplitter()
  const breath = new Breath()
  for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
    for (const line of splitter.push(bytes.subarray(offset, offset + CHUNK_BYTES))) {
      yield { line: line.number, row: parseDataRow(line.text, line.number) }
      await breath.pause()
    }
  }
  for (const line of splitter.end()) yield { line: line.number, row: parseDataRow(line.text, line.number) }
}
