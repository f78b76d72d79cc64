/** Real processes, a real Redis, a real (tiny) base: jobs survive stops and kills, and end in one version. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { firstNonFinite } from '../../src/model/float-formats.js'
import type { Base } from '../../src/model/base.js'
import { importBase } from '../../src/model/import.js'
import { readArtifact } from '../../src/prompt/artifact-files.js'
import type { TaskSpec } from '../../src/prompt/task-spec.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { openStores, type Stores } from '../../src/registry/store/open-stores.js'
import { checkpointPrefix, uploadKey } from '../../src/registry/store/object-keys.js'
import type { JobEvent, RecipeRequest, TrainingJobData, TrainingJobRequest } from '../../src/training/job.js'
import { completeRecipe } from '../../src/training/recipe.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { testTokenizer } from '../support/tokenizer.js'
import { writeTinyLlama } from '../support/tiny-llama.js'

const TENANT = 'tenant'
const ROWS = 60

function labelled (): string {
  return Array.from({ length: ROWS }, (_, i) => JSON.stringify({ input: i % 2 === 0 ? `the basket near ${i}` : `a green frog ${i}`, label: i % 2 === 0 ? 'basket' : 'frog' })).join('\n')
}

const isCheckpoint = (event: JobEvent): boolean => event.type === 'checkpoint'

const tokenizer = testTokenizer()
const classification: TaskSpec = {
  kind: 'classification',
  template: '{input}\nLabel:',
  verbalizer: {
    type: 'vectors',
    labels: ['basket', 'frog'].map((name, i) => ({ name, tokenId: 260 + i, piece: name, tokenIds: tokenizer.encode(` ${name}`, { addSpecial: false }) }))
  }
}
const generation: TaskSpec = { kind: 'generation', template: '{input}\n', verbalizer: null }

suite('a worker process', { timeout: 300_000 }, () => {
  let folder: string
  let redis: RedisServer
  let base: Base
  let stores: Stores
  let registry: RedisRegistry
  const workers = new Set<ChildProcess>()
  let jobs = 0

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-worker-'))
    redis = await startRedis()
    writeTinyLlama(folder)
    base = await importBase(folder, join(folder, 'home'), () => {})
    stores = await openStores({ PERMAFROST_HOME: join(folder, 'home') })
    registry = await RedisRegistry.connect({ url: redis.url, objects: stores.objects, whenDown: 'wait' })
    await stores.objects.put(uploadKey(TENANT, 'rows'), Buffer.from(labelled()))
    await stores.objects.put(uploadKey(TENANT, 'pairs'), Buffer.from(labelled().replaceAll('"label"', '"target"')))
    for (const [name, spec] of [['classify', classification], ['write', generation]] as const) {
      await registry.createTask(TENANT, { name, description: '', base: base.manifest.digest, spec, createdAt: new Date().toISOString() })
    }
  })
  after(async () => {
    for (const worker of workers) worker.kill('SIGKILL')
    await registry?.close()
    await redis?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  function startWorker (): { child: ChildProcess, exited: Promise<number | null> } {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'worker-process.js')], {
      env: { ...process.env, REDIS_URL: redis.url, PERMAFROST_HOME: join(folder, 'home'), BASE_FOLDER: base.folder, TRAINING_THREADS: '1', LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'silent' },
      stdio: ['ignore', 'inherit', 'inherit']
    })
    workers.add(child)
    const exited = new Promise<number | null>(resolve => child.once('exit', code => { workers.delete(child); resolve(code) }))
    return { child, exited }
  }

  async function createJob (task: 'classify' | 'write', recipe: RecipeRequest, request: Partial<TrainingJobRequest> = {}, overrides: Partial<TrainingJobData> = {}): Promise<TrainingJobData> {
    const spec = task === 'classify' ? classification : generation
    const completed = completeRecipe({ ...request, recipe }, { kind: spec.kind, rows: ROWS, contextLength: base.manifest.config.contextLength })
    const data: TrainingJobData = {
      schema: 1, job: `job_${++jobs}`, tenant: TENANT, task, spec, base: base.manifest.digest,
      trainingFile: task === 'classify' ? 'rows' : 'pairs', validationFile: null, ...completed, alias: 'production', ...overrides
    }
    await registry.createJob(data)
    return data
  }

  /** Events until one fits, or to the end of the job. */
  async function eventsUntil (job: string, fits: (event: JobEvent) => boolean = () => false, from = '0'): Promise<JobEvent[]> {
    const controller = new AbortController()
    const events: JobEvent[] = []
    for await (const { event } of registry.jobEvents(TENANT, job, from, controller.signal)) {
      events.push(event)
      if (fits(event)) break
    }
    controller.abort()
    return events
  }

  async function versionsOf (task: string, job: string): Promise<number> {
    return (await registry.listVersions(TENANT, task)).filter(version => version.job === job).length
  }

  async function promptOf (task: string, job: string): Promise<Float32Array> {
    const version = (await registry.listVersions(TENANT, task)).find(one => one.job === job)
    assert.ok(version !== undefined)
    const files = await stores.artifacts.get(version.digest)
    return readArtifact(files, { base: base.manifest.digest, config: base.manifest.config }).embeddings
  }

  test('trains both methods and kinds, publishes, moves the alias, leaves no checkpoint, and exits 0 on SIGTERM', async () => {
    const { child, exited } = startWorker()
    const runs = [
      await createJob('classify', { max_steps: 30, evaluations: 2, learning_rate: 0.05 }, { method: { type: 'prefix-tuning', num_virtual_tokens: 4 } }),
      await createJob('write', { max_steps: 12, evaluations: 2, optimizer: 'adafactor' }, { method: { type: 'prompt-tuning', num_virtual_tokens: 5, init: { type: 'vocabulary' } } })
    ]
    for (const { job, task, method } of runs) {
      const events = await eventsUntil(job)
      assert.deepEqual(events.filter(event => event.type === 'state').map(event => event.state), ['queued', 'running', 'succeeded'])
      assert.equal(events.filter(event => event.type === 'evaluation').length, 2)
      assert.ok(events.some(event => event.type === 'step') && events.some(event => event.type === 'published'))
      const record = await registry.getJob(TENANT, job)
      const { version } = await registry.resolve(TENANT, task)
      assert.deepEqual([record.state, record.version, version.job, version.method], ['succeeded', version.number, job, method.type])
      const prompt = await promptOf(task, job)
      assert.equal(prompt.length, method.num_virtual_tokens * (method.type === 'prompt-tuning' ? 64 : 2 * 2 * 2 * 16))
      assert.equal(firstNonFinite(prompt), -1)
    }
    const { version } = await registry.resolve(TENANT, 'classify')
    assert.equal(version.metrics['accuracy'], 1) // two words tell the labels apart
    child.kill('SIGTERM')
    assert.equal(await exited, 0)
    assert.deepEqual(await stores.objects.list('checkpoints/'), [])
  })

  test('a killed worker\'s job goes on elsewhere from its checkpoint, as if nothing had been, and makes one version', async () => {
    const recipe: RecipeRequest = { max_steps: 400, evaluations: 40, learning_rate: 0.01 }
    const method = { type: 'prefix-tuning', num_virtual_tokens: 4, init: { type: 'random' } } as const
    const first = startWorker()
    const undisturbed = await createJob('classify', recipe, { method })
    await eventsUntil(undisturbed.job)

    const { job } = await createJob('classify', recipe, { method })
    await eventsUntil(job, isCheckpoint)
    first.child.kill('SIGKILL')
    await first.exited
    assert.equal(await registry.jobState(TENANT, job), 'running')

    const second = startWorker()
    const events = await eventsUntil(job)
    assert.equal(await registry.jobState(TENANT, job), 'succeeded')
    assert.equal(await versionsOf('classify', job), 1)
    assert.equal(events.filter(event => event.type === 'published').length, 1)
    // Steps before the first checkpoint were not made twice.
    assert.equal(events.filter(event => event.type === 'evaluation' && event.step === 10).length, 1)
    assert.deepEqual(await promptOf('classify', job), await promptOf('classify', undisturbed.job))
    second.child.kill('SIGTERM')
    assert.equal(await second.exited, 0)
  })

  test('told to stop, it saves the running job and puts it back in the queue', async () => {
    const first = startWorker()
    const { job } = await createJob('classify', { max_steps: 3000, evaluations: 100 }, { method: { type: 'prompt-tuning', num_virtual_tokens: 4 } })
    await eventsUntil(job, isCheckpoint)
    first.child.kill('SIGTERM')
    assert.equal(await first.exited, 0)
    assert.equal(await registry.jobState(TENANT, job), 'queued')
    assert.equal((await stores.objects.list(checkpointPrefix(TENANT, job))).length, 1)

    const second = startWorker()
    await eventsUntil(job, event => event.type === 'evaluation' && event.step >= 90)
    await registry.cancelJob(TENANT, job)
    const other = await createJob('write', { max_steps: 2, evaluations: 1 }, { method: { type: 'prefix-tuning', num_virtual_tokens: 2 } })
    await eventsUntil(other.job) // the worker is free again
    assert.equal(await registry.jobState(TENANT, job), 'cancelled')
    assert.equal(await versionsOf('classify', job), 0)
    assert.deepEqual(await stores.objects.list(checkpointPrefix(TENANT, job)), [])
    second.child.kill('SIGTERM')
    assert.equal(await second.exited, 0)
  })

  test('a job cancelled while it waits leaves no checkpoint once a worker has started', async () => {
    const first = startWorker()
    const { job } = await createJob('classify', { max_steps: 3000, evaluations: 100 }, { method: { type: 'prompt-tuning', num_virtual_tokens: 4 } })
    await eventsUntil(job, isCheckpoint)
    first.child.kill('SIGTERM')
    await first.exited
    await registry.cancelJob(TENANT, job)
    assert.equal((await stores.objects.list(checkpointPrefix(TENANT, job))).length, 1)
    const second = startWorker()
    const next = await createJob('write', { max_steps: 1, evaluations: 1 })
    await eventsUntil(next.job)
    assert.deepEqual(await stores.objects.list(checkpointPrefix(TENANT, job)), [])
    assert.equal(await registry.jobState(TENANT, job), 'cancelled')
    second.child.kill('SIGTERM')
    assert.equal(await second.exited, 0)
  })

  test('what cannot succeed fails at once with its code, and the worker takes the next job', async () => {
    const { child, exited } = startWorker()
    await stores.objects.put(uploadKey(TENANT, 'strange'), Buffer.from('{"input":"a","label":"basket"}\n{"input":"b","label":"toad"}\n'))
    const cases: Array<[string, TrainingJobData]> = [
      ['unknown_label', await createJob('classify', {}, {}, { trainingFile: 'strange' })],
      ['file_not_found', await createJob('classify', {}, {}, { trainingFile: 'gone' })],
      ['wrong_base', await createJob('classify', {}, {}, { base: `sha256:${'0'.repeat(64)}` })]
    ]
    for (const [code, { job }] of cases) {
      const events = await eventsUntil(job)
      const record = await registry.getJob(TENANT, job)
      assert.deepEqual([record.state, record.error?.code], ['failed', code])
      assert.ok(events.some(event => event.type === 'error' && event.code === code))
    }
    const next = await createJob('write', { max_steps: 2, evaluations: 1 })
    await eventsUntil(next.job)
    assert.equal(await registry.jobState(TENANT, next.job), 'succeeded')
    child.kill('SIGTERM')
    assert.equal(await exited, 0)
  })
})
