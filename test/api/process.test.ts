import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { NO_PROMPTS, type SequenceEvent, type SequenceRequest, type StatusReport } from '../../src/inference/protocol.js'
import { type BaseManifest, BASE_FILES } from '../../src/model/base.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { openStores } from '../../src/registry/store/open-stores.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { testTokenizer, testTokenizerJson } from '../support/tokenizer.js'
import type { InferAnswer } from './answers.js'
import { base } from './testbed.js'

const manifest: BaseManifest = { ...base, config: { ...base.config, vocabSize: 344, contextLength: 16_384, bosTokenId: 341, eosTokenIds: [342] } }

const STATUS: StatusReport = {
  id: 'the one', ready: true, base: manifest.digest, servingGraph: manifest.serving.w8a8.digest, format: 'w8a8', engine: 'c-api',
  maxContext: 16_384, slots: 16, running: 0, waiting: 0, ...NO_PROMPTS, stepsTotal: 0, tokensTotal: 0, packedInputsTotal: 0
}

suite('the api process', () => {
  let folder: string
  let redis: RedisServer
  let registry: RedisRegistry
  let inference: Server
  let api: ChildProcess
  let url: string
  let health: string
  let secret: string
  let answer: (request: SequenceRequest, response: ServerResponse) => void

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-api-process-'))
    const baseFolder = join(folder, 'base')
    await mkdir(baseFolder)
    await writeFile(join(baseFolder, BASE_FILES.manifest), JSON.stringify(manifest))
    await writeFile(join(baseFolder, BASE_FILES.tokenizer), JSON.stringify(testTokenizerJson()))
    await writeFile(join(baseFolder, BASE_FILES.chatTemplate), '{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}{% endfor %}')
    redis = await startRedis()
    const { objects } = await openStores({ PERMAFROST_HOME: folder })
    registry = await RedisRegistry.connect({ url: redis.url, objects, whenDown: 'fail' })
    secret = (await registry.createKey('default', 'test', ['infer'])).secret
    const socket = join(folder, 'inference.sock')
    inference = createServer(async (request, response) => {
      if (request.url === '/status') return response.end(JSON.stringify(STATUS))
      let body = ''
      for await (const chunk of request) body += String(chunk)
      answer(JSON.parse(body) as SequenceRequest, response)
    }).listen(socket)
    api = spawn(process.execPath, [fileURLToPath(new URL('./api-process.js', import.meta.url))], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, PORT: '0', HEALTH_PORT: '0', PERMAFROST_HOME: folder, BASE_FOLDER: baseFolder, REDIS_URL: redis.url, INFERENCE_URL: `unix:${socket}`, MAX_CONTEXT: '16384' }
    })
    for await (const line of createInterface({ input: api.stdout! })) {
      const entry = JSON.parse(line) as { msg: string, url?: string, port?: number }
      if (entry.msg === 'health port listens') health = `http://127.0.0.1:${entry.port ?? 0}`
      if (entry.msg !== 'api listens') continue
      url = entry.url ?? ''
      break
    }
    api.stdout!.resume()
  })
  after(async () => {
    if (api.exitCode === null && api.signalCode === null) {
      api.kill('SIGKILL')
      await once(api, 'exit')
    }
    inference.close()
    await registry.close()
    await redis.stop()
    await rm(folder, { recursive: true, force: true })
  })

  async function ask (body: object): Promise<{ status: number, body: InferAnswer }> {
    const response = await fetch(`${url}/v1/tasks/${manifest.name}/infer`, { method: 'POST', headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
    return { status: response.status, body: await response.json() as InferAnswer }
  }

  test('answers through the inference process, short texts, long ones and chat', async () => {
    const tokenizer = testTokenizer()
    const long = 'a long text of many words '.repeat(300)
    const expected = new Map([['short', tokenizer.encode('short')], [long, tokenizer.encode(long)]])
    for (const [input, ids] of expected) {
      answer = (request, response) => {
        assert.deepEqual(request.inputIds, ids)
        say(response, tokenizer.encode('größer', { addSpecial: false }))
      }
      const { status, body } = await ask({ input })
      assert.deepEqual([status, body.text, body.usage.prompt_tokens], [200, 'größer', ids.length])
    }
    answer = (request, response) => {
      assert.deepEqual(request.inputIds, [341, ...tokenizer.encode('user: hi', { addSpecial: false })])
      say(response, [])
    }
    assert.equal((await ask({ input: 'hi', chat: true })).status, 200)
  })

  test('loads neither ONNX Runtime nor koffi', { skip: process.platform === 'linux' ? false : 'reads /proc' }, async () => {
    const mapped = await readFile(`/proc/${api.pid}/maps`, 'utf8')
    assert.ok(mapped.includes('node'))
    assert.doesNotMatch(mapped, /onnxruntime|koffi/)
  })

  test('told to stop, it says that it is not ready, then takes no connections, and lets the answer under way finish', async () => {
    const waiting = new Promise<ServerResponse>(resolve => { answer = (_request, response) => resolve(response) })
    const answered = ask({ input: 'last words' })
    const response = await waiting
    const exit = once(api, 'exit')
    api.kill('SIGTERM')
    while ((await readiness(health)).status === 200) await new Promise(setImmediate)
    assert.deepEqual(await readiness(health), { status: 503, body: { status: 'stopping' } })
    assert.deepEqual(await readiness(url), { status: 503, body: { status: 'not_ready', checks: { redis: 'ok', store: 'ok', inference: 'ok', api: 'stopping' } } })
    await refusesConnections()
    assert.equal((await readiness(health)).status, 503)
    say(response, testTokenizer().encode('bye', { addSpecial: false }))
    assert.equal((await answered).body.text, 'bye')
    assert.deepEqual(await exit, [0, null])
  })

  async function refusesConnections (): Promise<void> {
    for (;;) {
      try {
        await (await fetch(`${url}/healthz`, { headers: { connection: 'close' } })).arrayBuffer()
      } catch {
        return
      }
    }
  }
})

async function readiness (origin: string): Promise<{ status: number, body: unknown }> {
  const response = await fetch(`${origin}/readyz`, { headers: { connection: 'close' } })
  return { status: response.status, body: await response.json() }
}

function say (response: ServerResponse, ids: readonly number[]): void {
  const events: SequenceEvent[] = [...ids.map(id => ({ type: 'token' as const, id })), { type: 'finished', reason: 'stop', virtualTokens: 0, timing: { queueMs: 0, prefillMs: 0, decodeMs: 0 } }]
  response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(events.map(event => `${JSON.stringify(event)}\n`).join(''))
}
