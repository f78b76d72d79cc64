/** The Hugging Face hub: one file of a repository at a fixed commit, resumable. */
import type { IncomingMessage } from 'node:http'
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { Progress } from '../progress.js'
import { type KnownFile, SourceUnavailableError } from './known-file.js'
import { httpGet, type Timeouts } from './http-get.js'

export const HUB_TIMEOUTS: Timeouts = { connect: 4000, idle: 20_000 }
/** Broken connections in a row that brought no new byte. */
const MAX_FRUITLESS = 2

export interface HubOptions {
  /** As in Hugging Face tools: HF_ENDPOINT, HF_TOKEN. */
  readonly endpoint: string
  readonly token: string | undefined
  readonly timeouts?: Timeouts
}

/**
 * Fetch the file into `part`. What an earlier try left there is continued when the server still has the same entity
 * (`If-Range`), else replaced.
 * @throws SourceUnavailableError; `part` stays for the next try.
 */
export async function fetchFromHub (file: KnownFile, part: string, progress: Progress, options: HubOptions): Promise<void> {
  const url = `${options.endpoint.replace(/\/+$/, '')}/${file.hub.repository}/resolve/${file.hub.commit}/${file.name}`
  let fruitless = 0
  for (;;) {
    const before = await sizeOf(part)
    if (before === file.bytes) return
    try {
      await continueDownload(url, file, part, progress, options)
    } catch (error) {
      fruitless = await sizeOf(part) > before ? 0 : fruitless + 1
      // A server that never answered is not asked again: the next source may be at hand.
      if (error instanceof SourceUnavailableError || fruitless >= MAX_FRUITLESS) {
        throw error instanceof SourceUnavailableError ? error : new SourceUnavailableError(`the connection broke: ${(error as Error).message}`)
      }
    }
  }
}

async function continueDownload (url: string, file: KnownFile, part: string, progress: Progress, options: HubOptions): Promise<void> {
  const tagFile = `${part}.etag`
  const have = await sizeOf(part)
  const tag = await readFile(tagFile, 'utf8').catch(() => '')
  const resumes = have > 0 && have < file.bytes && tag !== ''
  const response = await httpGet(url, {
    ...options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
    ...resumes ? { range: `bytes=${have}-`, 'if-range': tag } : {}
  }, options.timeouts ?? HUB_TIMEOUTS)
  try {
    const from = startOf(response, resumes ? have : 0, file.bytes)
    if (from === 0) await writeFile(tagFile, strongTag(response))
    await append(response, part, from, file.bytes, progress)
  } finally {
    response.destroy()
  }
  await rm(tagFile, { force: true })
}

/** Where in the file the body starts. */
function startOf (response: IncomingMessage, asked: number, bytes: number): number {
  const status = response.statusCode ?? 0
  if (status === 206) {
    const range = response.headers['content-range'] ?? ''
    if (range !== `bytes ${asked}-${bytes - 1}/${bytes}`) throw new SourceUnavailableError(`the server answers with range "${range}" of a file of ${bytes} bytes`)
    return asked
  }
  if (status !== 200) throw new SourceUnavailableError(`the server answers ${status}`)
  const announced = response.headers['content-length']
  if (announced !== undefined && Number(announced) !== bytes) throw new SourceUnavailableError(`the server's file has ${announced} bytes, expected ${bytes}`)
  return 0
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
    await handle.close()
  }
}

async function sizeOf (file: string): Promise<number> {
  return await stat(file).then(({ size }) => size, () => 0)
}
