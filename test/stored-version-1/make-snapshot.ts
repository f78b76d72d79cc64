/**
 * Makes a snapshot like the one beside it (README.md) of what today's code stores: runs the whole service on the tiny base
 * of the tests, uses it, and kills it in the middle of a training job.
 *   npm run build && node dist/test/stored-version-1/make-snapshot.js FOLDER
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { hexOf } from '../../src/digest.js'
import { basesFolder } from '../../src/model/current-base.js'
import { FINAL_STATES, type JobEvent } from '../../src/training/job.js'
import { QUEUE_PREFIX } from '../../src/training/queue.js'
import { type ReceivedJobEvent, receivedEvents } from '../api/server-sent-events.js'
import { startRedis } from '../support/redis.js'
import { allEnded, type StartedService, startService } from '../support/service.js'
import { writeTinyLlama } from '../support/tiny-llama.js'
import type { Facts, StoredPost } from './snapshot.js'

/** What the paths in `bases/index.json` begin with in the snapshot, whoever makes it. */
const SOURCES = '/models'
const ROWS = Array.from({ length: 40 }, (_, i) => i % 2 === 0 ? { input: `the basket near ${i}`, label: 'basket' } : { input: `a green frog ${i}`, label: 'frog' })

const folder = process.argv[2]
if (folder === undefined) throw new Error('name the folder that the snapshot goes to')
const work = await mkdtemp(join(tmpdir(), 'permafrost-snapshot-'))
const server = await startRedis()
try {
  const home = join(work, 'home')
  const source = join(work, 'tiny-llama')
  await mkdir(source)
  writeTinyLlama(source)
  const service = await startService(home, { REDIS_URL: server.url, PERMAFROST_BASE: source, SERVING_GRAPH: 'float32', TRAINING_THREADS: '1' })
  const facts = await use(service, home)
  await kill(service, home)

  await mkdir(join(folder, 'base'), { recursive: true })
  await writeFile(join(folder, 'facts.json'), `${JSON.stringify(facts, null, 2)}\n`)
  await writeFile(join(folder, 'redis.jsonl'), (await redisCommands()).map(command => `${JSON.stringify(command)}\n`).join(''))
  await cp(join(home, 'store'), join(folder, 'store'), { recursive: true, filter: path => !path.endsWith('.temporary') })
  await cp(join(basesFolder(home), hexOf(facts.base), 'manifest.json'), join(folder, 'base', 'manifest.json'))
  await writeFile(join(folder, 'base', 'index.json'), (await readFile(join(basesFolder(home), 'index.json'), 'utf8')).replaceAll(work, SOURCES))
} finally {
  await server.stop()
  await rm(work, { recursive: true, force: true })
}

/** At the end a job is in the middle of its run and another one waits behind it. */
async function use ({ url: service }: StartedService, home: string): Promise<Facts> {
  const secret = (await readFile(join(home, 'api-key'), 'utf8')).trim()
  const posts: StoredPost[] = []

  async function request (method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Promise<{ status: number, answer: unknown }> {
    const type: Record<string, string> = body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'application/jsonl' : 'application/json' }
    const response = await fetch(service + url, {
      method,
      headers: { authorization: `Bearer ${secret}`, ...type, ...headers },
      ...body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    })
    const answer: unknown = await response.json()
    if (!response.ok) throw new Error(`${method} ${url}: ${JSON.stringify(answer)}`)
    return { status: response.status, answer }
  }
  /** Leaves its answer under an Idempotency-Key. @returns id of what it made */
  async function make (url: string, body: unknown): Promise<string> {
    const key = `post ${posts.length + 1}`
    const { status, answer } = await request('POST', url, body, { 'idempotency-key': key })
    posts.push({ url, key, body, status, answer })
    return (answer as { id: string }).id
  }
  async function eventsUntil (job: string, fits: (event: JobEvent) => boolean): Promise<void> {
    const response = await fetch(`${service}/v1/training-jobs/${job}/events`, { headers: { authorization: `Bearer ${secret}` } })
    for await (const { data } of receivedEvents<ReceivedJobEvent>(response)) if (fits(data)) return
    throw new Error(`the events of ${job} ended`)
  }

  const file = async (name: string, rows: readonly object[]): Promise<string> => await make(`/v1/files?name=${name}`, rows.map(row => JSON.stringify(row)).join('\n'))
  const labelled = await file('labelled.jsonl', ROWS)
  const written = await file('written.jsonl', ROWS.map(({ input, label }) => ({ input, target: `It is a ${label}.` })))
  // Its split for validation leaves one label.
  const small = await file('small.jsonl', ROWS.slice(0, 2))
  await make('/v1/tasks', { name: 'animals', description: 'animals and things', kind: 'classification', labels: ['basket', 'frog'] })
  await make('/v1/tasks', { name: 'sentences', kind: 'generation' })

  const train = async (body: object): Promise<string> => await make('/v1/training-jobs', body)
  const prefix = { type: 'prefix-tuning', num_virtual_tokens: 4 }
  const animals = await train({ task: 'animals', training_file: labelled, method: prefix, recipe: { max_steps: 30, evaluations: 2, learning_rate: 0.05 } })
  const staging = await train({ task: 'animals', training_file: labelled, validation_file: labelled, method: { type: 'prompt-tuning', num_virtual_tokens: 4, init: { type: 'vocabulary' } }, recipe: { max_steps: 20, evaluations: 1, optimizer: 'adafactor' }, publish: { alias: 'staging' } })
  const sentences = await train({ task: 'sentences', training_file: written, method: { type: 'prompt-tuning', num_virtual_tokens: 5 }, recipe: { max_steps: 20, evaluations: 1 } })
  const failed = await train({ task: 'animals', training_file: small })
  for (const job of [animals, staging, sentences, failed]) await eventsUntil(job, event => event.type === 'state' && FINAL_STATES.includes(event.state))
  await request('PUT', '/v1/tasks/animals/aliases/production', { version: 2 })
  await request('POST', '/v1/tasks/animals/aliases/production/rollback')

  const inferences: Array<Facts['inferences'][number]> = []
  for (const [prompt, options] of [['animals', { scores: true }], ['animals@staging', { scores: true }], ['sentences', { max_tokens: 12, temperature: 0 }]] as const) {
    const input = 'a frog near the basket'
    const { version, digest, scores, text } = (await request('POST', `/v1/tasks/${prompt}/infer`, { input, ...options })).answer as Facts['inferences'][number]
    inferences.push({ prompt, input, version, digest, ...scores === undefined ? {} : { scores }, ...text === undefined ? {} : { text } })
  }

  const running = await train({ task: 'animals', training_file: labelled, method: prefix, recipe: { max_steps: 600, evaluations: 60 } })
  const queued = await train({ task: 'sentences', training_file: written, method: prefix, recipe: { max_steps: 10, evaluations: 1 } })
  const cancelled = await train({ task: 'sentences', training_file: written })
  await request('POST', `/v1/training-jobs/${cancelled}/cancel`)
  await eventsUntil(running, event => event.type === 'checkpoint' && event.step >= 50)

  const { base } = ((await request('GET', '/v1/tasks/animals')).answer as Pick<Facts, 'base'>)
  return { base, tenant: 'default', secret, jobs: { animals, staging, sentences, failed, running, queued, cancelled }, posts, inferences }
}

/** As a power cut would: the worker has no time to put its job back. */
async function kill (service: StartedService, home: string): Promise<void> {
  const children = (await readFile(join(home, 'children'), 'utf8')).trim().split('\n')
  for (const child of children) process.kill(Number(child.split(' ')[0]), 'SIGKILL')
  await service.kill9()
  await allEnded(children)
}

/** What makes the keys of `server`, key by key. A lease of BullMQ, all that expires among its keys, has run out by the time that anybody looks. */
async function redisCommands (): Promise<string[][]> {
  const redis = new Redis(server.url)
  try {
    const commands: string[][] = []
    for (const key of (await redis.keys('*')).sort()) {
      const milliseconds = await redis.pttl(key)
      if (milliseconds >= 0 && key.startsWith(QUEUE_PREFIX)) continue
      commands.push(...await commandsOf(redis, key))
      if (milliseconds >= 0) commands.push(['PEXPIRE', key, String(milliseconds)])
    }
    return commands
  } finally {
    redis.disconnect()
  }
}

async function commandsOf (redis: Redis, key: string): Promise<string[][]> {
  const type = await redis.type(key)
  switch (type) {
    case 'string': return [['SET', key, (await redis.get(key))!]]
    case 'list': return [['RPUSH', key, ...await redis.lrange(key, 0, -1)]]
    case 'set': return [['SADD', key, ...(await redis.smembers(key)).sort()]]
    case 'hash': return Object.entries(await redis.hgetall(key)).sort().map(([field, value]) => ['HSET', key, field, value])
    case 'zset': return pairs(await redis.zrange(key, '0', '-1', 'WITHSCORES')).map(([member, score]) => ['ZADD', key, score, member])
    case 'stream': return (await redis.xrange(key, '-', '+')).map(([id, fields]) => ['XADD', key, id, ...fields])
    default: throw new Error(`internal: ${key} is a ${type}`)
  }
}

function pairs (flat: readonly string[]): Array<[string, string]> {
  return flat.flatMap((value, i) => i % 2 === 0 ? [[value, flat[i + 1]!]] : [])
}
