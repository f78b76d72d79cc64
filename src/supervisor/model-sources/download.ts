/** One file over HTTP: what broke off goes on where it was. */
import type { IncomingMessage } from 'node:http'
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { Progress, StartProgress } from '../progress.js'
import { httpGet, type Timeouts } from './http-get.js'
import { SourceUnavailableError } from './known-file.js'
import type { SourceAddress } from './source-address.js'

/** Broken connections in a row that brought nothing new. */
const MAX_FRUITLESS = 2

export interface Download {
  /** For the display of progress. */
  readonly name: string
  readonly address: SourceAddress
  /** Null: the server says it. */
  readonly bytes: number | null
  /** More is refused before it is read. */
  readonly maxBytes: number
}

/**
 * Fetch the file into `part`. What an earlier try left there is continued when the server still has the same entity
 * (`If-Range`), else replaced.
 * @throws SourceUnavailableError; `part` stays for the next try.
 */
export async function download (file: Download, part: string, startProgress: StartProgress, timeouts: Timeouts): Promise<void> {
  let furthest = await sizeOf(part)
  let fruitless = 0
  for (;;) {
    if (await sizeOf(part) === file.bytes) return
    try {
      return await continueDownload(file, part, startProgress, timeouts)
    } catch (error) {
      // A server that never answered is not asked again: the next source may be at hand.
      if (error instanceof SourceUnavailableError) throw error
      const reached = await sizeOf(part)
      fruitless = reached > furthest ? 0 : fruitless + 1
      furthest = Math.max(furthest, reached)
      if (fruitless >= MAX_FRUITLESS) throw new SourceUnavailableError(`the connection broke: ${(error as Error).message}`)
    }
  }
}

async function continueDownload (file: Download, part: string, startProgress: StartProgress, timeouts: Timeouts): Promise<void> {
  const tagFile = `${part}.etag`
  const have = await sizeOf(part)
  const tag = await readFile(tagFile, 'utf8').catch(() => '')
  const resumes = have > 0 && have < (file.bytes ?? Infinity) && tag !== ''
  const { response } = await httpGet(file.address.url, {
    ...file.address.headers,
    ...resumes ? { range: `bytes=${have}-`, 'if-range': tag } : {}
  }, timeouts)
  try {
    if (resumes && response.statusCode === 416) {
      await rm(tagFile)
      throw new Error(`the server has no byte ${have} of the file`)
    }
    const { from, bytes } = contentOf(response, resumes ? have : 0, file)
    if (from === 0) await writeFile(tagFile, strongTag(response))
    await append(response, part, from, bytes, startProgress(file.name, bytes))
  } finally {
    response.destroy()
  }
  await rm(tagFile, { force: true })
}

/** Where in the file the body starts, and how many bytes the whole file has. */
function contentOf (response: IncomingMessage, asked: number, file: Download): { from: number, bytes: number } {
  const status = response.statusCode ?? 0
  if (status === 206) {
    const range = response.headers['content-range'] ?? ''
    const bytes = file.bytes ?? Number(range.split('/')[1])
    if (range !== `bytes ${asked}-${bytes - 1}/${bytes}`) throw new SourceUnavailableError(`the server answers with range "${range}", asked for byte ${asked} on${file.bytes === null ? '' : ` of ${file.bytes}`}`)
    return { from: asked, bytes: checked(bytes, file) }
  }
  if (status !== 200) throw new SourceUnavailableError(`the server answers ${status}`)
  const announced = response.headers['content-length']
  if (announced === undefined && file.bytes === null) throw new SourceUnavailableError('the server does not say how many bytes its file has')
  const bytes = announced === undefined ? file.bytes! : Number(announced)
  return { from: 0, bytes: checked(bytes, file) }
}

function checked (bytes: number, file: Download): number {
  if (file.bytes !== null && bytes !== file.bytes) throw new SourceUnavailableError(`the server's file has ${bytes} bytes, expected ${file.bytes}`)
  if (bytes > file.maxBytes) throw new SourceUnavailableError(`the server's file has ${bytes} bytes, the limit is ${file.maxBytes}`)
  return bytes
}

/** Weak tags do not promise the same bytes. */
function strongTag (response: IncomingMessage): string {
  const tag = response.headers.etag ?? ''
  return tag.startsWith('"') ? tag : ''
}

async function append (response: IncomingMessage, part: string, from: number, bytes: number, progress: Progress): Promise<void> {
  const handle = await open(part, from === 0 ? 'w' : 'r+')
  try {
    let at = from
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (at + chunk.length > bytes) throw new SourceUnavailableError(`the server sends more than the ${bytes} bytes of the file`)
      await handle.write(chunk, 0, chunk.length, at)
      at += chunk.length
      progress.update(at)
    }
    if (at < bytes) throw new Error(`${at} of ${bytes} bytes arrived`)
  } finally {
    progress.end()
    await handle.close()
  }
}

async function sizeOf (file: string): Promise<number> {
  return await stat(file).then(({ size }) => size, () => 0)
}
