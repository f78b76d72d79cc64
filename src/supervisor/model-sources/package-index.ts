/** A Python package index by its JSON form (PEP 691, which pypi.org and its mirrors have): which file is the wheel of a version. */
import type { IncomingMessage } from 'node:http'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Digest } from '../../digest.js'
import { httpGet, type Timeouts } from './http-get.js'
import { SourceUnavailableError, type WheelPackage } from './known-file.js'
import { type SourceAddress, sourceAddress } from './source-address.js'

const JSON_FORM = 'application/vnd.pypi.simple.v1+json'
/** The page of numpy, with thousands of files, has 2 MB. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024
/** name-version(-build)?-python-abi-platform.whl */
const WHEEL_NAME = /^([\w.]+)-([\w.+!]+)(?:-[\w.]+){3,4}\.whl$/

/** As much of a page as is read; another major version is another format. */
const PageSchema = Type.Object({
  meta: Type.Object({ 'api-version': Type.String({ pattern: '^1\\.' }) }),
  files: Type.Array(Type.Object({
    filename: Type.String(),
    url: Type.String(),
    hashes: Type.Record(Type.String(), Type.String()),
    /** Since version 1.1. */
    size: Type.Optional(Type.Integer({ minimum: 1 }))
  }))
})
type Page = Static<typeof PageSchema>

export interface WheelFile {
  readonly name: string
  /** The index's user and password go along where the file lies on the index's own origin. */
  readonly address: SourceAddress
  /** Null where the index does not say. */
  readonly bytes: number | null
  readonly digest: Digest
}

/**
 * @param index as PIP_INDEX_URL, user and password included
 * @throws SourceUnavailableError
 */
export async function findWheel (index: string, wanted: WheelPackage, timeouts: Timeouts): Promise<WheelFile> {
  const asked = sourceAddress('PIP_INDEX_URL', `${index.replace(/\/+$/, '')}/${wanted.package}/`)
  const { response, url } = await httpGet(asked.url, { ...asked.headers, accept: JSON_FORM }, timeouts)
  const page = await readPage(response, wanted).finally(() => response.destroy())
  const file = page.files.find(({ filename }) => isWheelOf(filename, wanted))
  if (file === undefined) throw new SourceUnavailableError(`the index has no wheel of ${wanted.package} ${wanted.version}`)
  const sha256 = file.hashes['sha256'] ?? ''
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new SourceUnavailableError(`the index gives no sha256 of ${file.filename}`)
  const address = sourceAddress(`what the index gives for ${file.filename}`, file.url, url.href)
  const headers = address.url.origin === asked.url.origin ? { ...asked.headers, ...address.headers } : address.headers
  return { name: file.filename, address: { url: address.url, headers }, bytes: file.size ?? null, digest: `sha256:${sha256}` }
}

async function readPage (response: IncomingMessage, wanted: WheelPackage): Promise<Page> {
  const status = response.statusCode ?? 0
  if (status === 404) throw new SourceUnavailableError(`the index has no package ${wanted.package} (404)`)
  if (status === 401 || status === 403) throw new SourceUnavailableError(`the index answers ${status}: user and password go into PIP_INDEX_URL (https://user:password@host/...)`)
  const type = response.headers['content-type'] ?? 'no content-type'
  if (status === 406 || (status === 200 && !/\bjson\b/.test(type))) {
    throw new SourceUnavailableError(`the index answers ${status === 406 ? status : `with ${type}`}: it does not have the JSON form (PEP 691) that is read here`)
  }
  if (status !== 200) throw new SourceUnavailableError(`the index answers ${status}`)
  const page = parsed(await textOf(response))
  if (!Value.Check(PageSchema, page)) throw new SourceUnavailableError(`the index's page of ${wanted.package} is not the JSON form of version 1 (PEP 691)`)
  return page
}

async function textOf (response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MAX_PAGE_BYTES) throw new Error(`its page is over ${MAX_PAGE_BYTES} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw new SourceUnavailableError(`the index's page can not be read: ${(error as Error).message}`)
  }
  return Buffer.concat(chunks).toString()
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isWheelOf (filename: string, wanted: WheelPackage): boolean {
  const [, name, version] = WHEEL_NAME.exec(filename) ?? []
  return name?.replace(/[-_.]+/g, '-').toLowerCase() === wanted.package && version === wanted.version
}
