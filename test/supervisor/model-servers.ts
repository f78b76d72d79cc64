/** What the tests of model sources share: a file, a wheel around it, and servers that send either. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { digestOf } from '../../src/digest.js'
import type { KnownFile } from '../../src/supervisor/model-sources/known-file.js'

export const BYTES = randomBytes(300_000)
export const FILE: KnownFile = {
  name: 'tiny.gguf', bytes: BYTES.length, digest: digestOf(BYTES),
  hub: { repository: 'some/repository', commit: 'abc123' }, wheel: { package: 'tiny-model', version: '1.2.3' }
}

/** A zip of one stored member, as a wheel is. */
export function wheelOf (name: string, bytes: Buffer): Buffer {
  const path = Buffer.from(`tiny_model/${name}`)
  const local = Buffer.alloc(30)
  local.writeUInt32LE(0x04034b50, 0)
  local.writeUInt16LE(20, 4)
  local.writeUInt32LE(crc32Of(bytes), 14)
  local.writeUInt32LE(bytes.length, 18)
  local.writeUInt32LE(bytes.length, 22)
  local.writeUInt16LE(path.length, 26)
  const central = Buffer.alloc(46)
  central.writeUInt32LE(0x02014b50, 0)
  central.writeUInt16LE(20, 4)
  central.writeUInt16LE(20, 6)
  local.copy(central, 16, 14, 26)
  central.writeUInt16LE(path.length, 28)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(1, 8)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(central.length + path.length, 12)
  end.writeUInt32LE(local.length + path.length + bytes.length, 16)
  return Buffer.concat([local, path, bytes, central, path, end])
}

/** node:zlib has it only since Node 20.15. */
function crc32Of (bytes: Buffer): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
  }
  return ~crc >>> 0
}

export async function listening (server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** As a static file server: ranges for the same entity, the whole file else; `limit` breaks the connection after so many bytes. */
export function serveRanges (bytes: Buffer, etag: string, limit = Infinity): Answer {
  return (request, response) => {
    const from = request.headers['if-range'] === etag ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
    const headers = { etag, 'content-length': bytes.length - from }
    if (from > 0) response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` })
    else response.writeHead(200, headers)
    if (bytes.length - from <= limit) response.end(bytes.subarray(from))
    else response.write(bytes.subarray(from, from + limit), () => response.destroy())
  }
}
