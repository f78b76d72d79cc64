/** The application on a real Redis and a real store; only the inference process is played by the test. */
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { Registry as MetricsRegistry } from 'prom-client'
import { buildApp } from '../../src/api/app.js'
import type { Application } from '../../src/api/application.js'
import { OutputCompiler } from '../../src/constraint/compiler.js'
import { digestOf } from '../../src/digest.js'
import type { BaseManifest } from '../../src/model/base.js'
import { ARTIFACT_FILES } from '../../src/prompt/artifact.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { type Scope, SCOPES, type VersionRecord } from '../../src/registry/registry.js'
import { openStores, type Stores } from '../../src/registry/store/open-stores.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { errorOf } from './answers.js'
import { BEGIN, byteTokenizer, END } from './byte-tokenizer.js'
import { ScriptedInference } from './scripted-inference.js'

export const MAX_CONTEXT = 64

const graph = { digest: digestOf('graph'), rotation: null, attention: 'plain' } as const

export const base: BaseManifest = {
  schema: 1,
  digest: digestOf('the base of the tests'),
  name: 'tiny-base',
  licence: 'Apache-2.0',
  source: { file: 'tiny.gguf', bytes: 1, digest: digestOf('file') },
  config: {
    family: 'llama', vocabSize: 258, hiddenSize: 8, numLayers: 1, numHeads: 1, numKvHeads: 1, headSize: 8, intermediateSize: 8, rmsNormEps: 1e-5,
    ropeInverseFrequencies: [1, 1, 1, 1], contextLength: MAX_CONTEXT, tiedEmbeddings: true, bosTokenId: BEGIN, eosTokenIds: [END]
  },
  addsBos: false,
  hasChatTemplate: true,
  serving: { float32: graph, w8a8: graph },
  warnings: []
}

/** An answer as a test wants to see it. */
export interface Answer<Body = unknown> { readonly status: number, readonly headers: Readonly<Record<string, string | undefined>>, readonly body: Body }

export interface Caller {
  readonly secret: string
  readonly tenant: string
  get<Body> (url: string, headers?: Record<string, string>): Promise<Answer<Body>>
  post<Body> (url: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<Body>>
  send<Body> (method: string, url: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<Body>>
}

export interface Testbed {
  readonly app: Application
  readonly inference: ScriptedInference
  readonly registry: RedisRegistry
  readonly stores: Stores
  readonly redis: RedisServer
  /** Every line that was logged. */
  readonly log: string[]
  /** A caller with a key of its own; without a tenant a new one. */
  caller (options?: { tenant?: string, scopes?: readonly Scope[] }): Promise<Caller>
  /** Listens on a free port; the URL. */
  listen (): Promise<string>
  publish (tenant: string, task: string): Promise<VersionRecord>
  close (): Promise<void>
}

export async function openTestbed (options: { maxFileBytes?: number } = {}): Promise<Testbed> {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-api-'))
  const redis = await startRedis()
  const stores = await openStores({ PERMAFROST_HOME: folder })
  const registry = await RedisRegistry.connect({ url: redis.url, objects: stores.objects, whenDown: 'fail' })
  const inference = new ScriptedInference()
  const log: string[] = []
  const outputs = new OutputCompiler()
  const app = await buildApp({
    registry,
    ...stores,
    inference,
    base,
    tokenizer: byteTokenizer,
    tokenizerPool: { encode: async (text, encodeOptions) => byteTokenizer.encode(text, encodeOptions) },
    outputs,
    chatPrompt: async message => `<begin>user: ${message}\nassistant:`,
    limits: { maxContext: MAX_CONTEXT, maxFileBytes: options.maxFileBytes ?? 1024 * 1024, maxMicroBatchTokens: 2048, itemsAtOnce: 4 },
    metrics: new MetricsRegistry(),
    stopping: new AbortController().signal,
    logger: pino({ level: 'trace' }, { write: (line: string) => { log.push(line) } })
  })
  let tenants = 0

  async function caller ({ tenant = `tenant-${++tenants}`, scopes = SCOPES }: { tenant?: string, scopes?: readonly Scope[] } = {}): Promise<Caller> {
    const { secret } = await registry.createKey(tenant, 'test', scopes)
    async function send<Body> (method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer<Body>> {
      const raw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
      const response = await app.inject({
        method: method as 'GET',
        url,
        headers: { authorization: `Bearer ${secret}`, ...(raw ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { payload: raw ? body as string : JSON.stringify(body) })
      })
      const isJson = String(response.headers['content-type']).includes('json') && !String(response.headers['content-type']).includes('jsonl')
      return { status: response.statusCode, headers: response.headers as Record<string, string>, body: isJson ? JSON.parse(response.body) : response.body }
    }
    return {
      secret,
      tenant,
      send,
      get: async <Body>(url: string, headers?: Record<string, string>) => await send<Body>('GET', url, undefined, headers),
      post: async <Body>(url: string, body?: unknown, headers?: Record<string, string>) => await send<Body>('POST', url, body, headers)
    }
  }

  return {
    app,
    inference,
    registry,
    stores,
    redis,
    log,
    caller,
    async listen () {
      if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 })
      return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
    },
    async publish (tenant, task) {
      const digest = await stores.artifacts.put(new Map([[ARTIFACT_FILES.manifest, Buffer.from(JSON.stringify({ schema: 1, task, at: Math.random() }))]]))
      return await registry.publishVersion(tenant, task, { digest, method: 'prefix-tuning', numVirtualTokens: 16, metrics: { accuracy: 0.9 }, job: null, alias: 'production', by: 'test' })
    },
    async close () {
      await app.close()
      await outputs.close()
      await registry.close()
      await redis.stop()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** A refusal as tests compare it. @throws Error when it does not look as every refusal has to */
export function refusal (answer: Answer): { status: number, code: string, param: string | null, line?: number } {
  const { code, param, line, request_id: id } = errorOf(answer)
  if (id !== answer.headers['x-request-id']) throw new Error(`of another request: ${JSON.stringify(answer.body)}`)
  return { status: answer.status, code, param, ...(line === undefined ? {} : { line }) }
}

/** A testbed with one task of each kind that has a version: `writer` generates, `sentiment` tells a from b. */
export async function openTestbedWithTasks ({ template }: { template?: string } = {}): Promise<{ bed: Testbed, caller: Caller }> {
  const bed = await openTestbed()
  const caller = await bed.caller()
  await caller.post('/v1/tasks', { name: 'writer', kind: 'generation', ...template === undefined ? {} : { template } })
  await caller.post('/v1/tasks', { name: 'sentiment', kind: 'classification', labels: ['a', 'b'] })
  await bed.publish(caller.tenant, 'writer')
  await bed.publish(caller.tenant, 'sentiment')
  return { bed, caller }
}
