import { ServiceError } from '../../errors.js'

/** Rows are a few hundred bytes; without a limit one line of 100 MB would stop the event loop for a second. */
export const MAX_LINE_BYTES = 1024 * 1024

/** A line of a file without its line end, and its number from 1. Blank lines are counted and left out. */
export interface Line { readonly number: number, readonly text: string }

const NEWLINE = 0x0a

/** Cuts bytes into lines of UTF-8 text as they arrive, in whatever pieces. */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true }) // drops a byte order mark
  #rest: Uint8Array[] = []
  #restBytes = 0
  #number = 0

  /** The lines that this chunk completes. @throws ServiceError `bad_line` for a line over 1 MiB and for bytes that are not UTF-8 */
  push (chunk: Uint8Array): Line[] {
    const lines: Line[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end))
      start = end + 1
      this.#complete(lines)
    }
    this.#keep(chunk.subarray(start))
    return lines
  }

  /** The last line when the file does not end with a newline. */
  end (): Line[] {
    const lines: Line[] = []
    if (this.#restBytes > 0) this.#complete(lines)
    return lines
  }

  #keep (bytes: Uint8Array): void {
    this.#restBytes += bytes.length
    if (this.#restBytes > MAX_LINE_BYTES) {
      const line = this.#number + 1
      throw new ServiceError('bad_line', `line ${line} is longer than ${MAX_LINE_BYTES} bytes`, { line })
    }
    if (bytes.length > 0) this.#rest.push(bytes)
  }

  #complete (lines: Line[]): void {
    const bytes = this.#rest.length === 1 ? this.#rest[0] : Buffer.concat(this.#rest)
    this.#rest = []
    this.#restBytes = 0
    this.#number++
    let text: string
    try {
      text = this.#decoder.decode(bytes).trim()
    } catch (cause) {
      throw new ServiceError('bad_line', `line ${this.#number} is not UTF-8`, { line: this.#number, cause })
    }
    if (text !== '') lines.push({ number: this.#number, text })
  }
}
