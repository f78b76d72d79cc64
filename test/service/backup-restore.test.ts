/**
 * What docs/operations.md tells an operator to type, word for word: back up a service that goes on working, lose all of
 * it, restore it in an empty place.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { Redis } from 'ioredis'
import { digestOf } from '../../src/digest.js'
import { PROJECT_ROOT } from '../../src/project.js'
import { homePaths } from '../../src/supervisor/home.js'
import { privateRedisUrl } from '../../src/supervisor/redis.js'
import type { Alias, AliasMove, File, InferAnswer, Job, Key, NewKey, Task, Version } from '../api/answers.js'
import { environment } from '../support/service.js'
import { isCheckpoint, rowsOfTwoLabels, Testbed, until } from './testbed.js'

const METHOD = { type: 'prompt-tuning', num_virtual_tokens: 4 }
const SHORT = { max_steps: 4 }
/** Jobs that are running when Redis is copied, by the task that each is for: what of it the copy of the store has. */
const RUNNING = {
  checkpointed: { max_steps: 16_000, evaluations: 160 },
  published: { max_steps: 4_000, evaluations: 40 }
}
const FIRST_EVALUATION = 100
const INPUTS = ['the basket', 'a green frog', 'nothing of it']

/** The lines of the first block of shell below a heading. */
function documentedCommands (heading: string): string[] {
  const page = readFileSync(join(PROJECT_ROOT, 'docs', 'operations.md'), 'utf8')
  const [, section] = page.split(`### ${heading}\n`)
  const block = /```sh\n([^`]*)```/.exec(section ?? assert.fail(`docs/operations.md has no "${heading}"`))
  return block![1]!.trim().split('\n')
}

async function shell (command: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn('sh', ['-euc', command], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const [code] = await once(child, 'close') as [number | null]
  assert.equal(code, 0, `${command}\n${stderr}`)
}

const noClient = spawnSync('redis-cli', ['--version']).status !== 0

suite('backup and restore as documented', { timeout: 900_000, skip: noClient ? 'no redis-cli on PATH' : false }, () => {
  let service: Testbed
  let env: NodeJS.ProcessEnv
  const keys: Record<'reader' | 'revoked' | 'acme', string> = { reader: '', revoked: '', acme: '' }
  const running: Record<string, string> = {}
  let backedUp: Awaited<ReturnType<typeof everything>>

  before(async () => {
    service = await Testbed.open({ WORKERS: '2' })
    const backup = join(service.folder, 'backup')
    await mkdir(backup)
    // Redis waits 5 s for more who want a copy; the jobs that are to run then need not be so long.
    const redis = new Redis(privateRedisUrl(homePaths(service.home)))
    await redis.config('SET', 'repl-diskless-sync-delay', '0')
    redis.disconnect()
    env = { ...environment(service.home), BACKUP: backup }
  })
  after(async () => await service.close())

  async function addTask (name: string): Promise<void> {
    await service.post('/v1/tasks', { name, kind: 'classification', labels: ['basket', 'frog'] })
  }

  async function change (method: 'PUT' | 'DELETE', path: string, body?: object): Promise<void> {
    const { status } = await service.ask(method, path, body)
    assert.ok(status < 300, `${method} ${path}: ${status}`)
  }

  /** One more version, made and served. */
  async function publish (task: string, swapped = false): Promise<number> {
    const job = await service.train(task, { rows: rowsOfTwoLabels({ swapped }), recipe: SHORT, method: METHOD })
    await service.events(job)
    const { version, state } = await service.get<Job>(`/v1/training-jobs/${job}`)
    if (version === null) assert.fail(`the job of ${task} ended as ${state}`)
    assert.equal((await service.infer(`${task}@${version}`, 'the basket')).version, version)
    return version
  }

  /** All that the api tells, apart from the jobs that run and their tasks; each version with its artifact and its answers. */
  async function everything () {
    const tasks = await Promise.all((await service.list<Task>('/v1/tasks')).filter(({ name }) => !Object.hasOwn(RUNNING, name)).map(async task => {
      const path = `/v1/tasks/${task.name}`
      const aliases = await service.list<Alias>(`${path}/aliases`)
      const versions = await service.list<Version>(`${path}/versions`)
      return {
        task,
        aliases,
        histories: await Promise.all(aliases.map(async ({ alias }) => await service.list<AliasMove>(`${path}/aliases/${alias}/history`))),
        versions: await Promise.all(versions.map(async version => ({
          version,
          artifact: await digestAt(`${path}/versions/${version.version}/artifact`),
          answers: (await service.post<InferAnswer>(`${path}@${version.version}/infer`, { inputs: INPUTS, scores: true })).results
            ?.map(({ label, scores }) => ({ label, scores }))
        })))
      }
    }))
    // Two of one millisecond are listed in any order.
    const files = (await service.list<File>('/v1/files')).sort((a, b) => a.id < b.id ? -1 : 1)
    const jobs = (await service.list<Job>('/v1/training-jobs')).filter(({ id }) => !Object.values(running).includes(id))
    return {
      keys: await service.list<Key>('/v1/keys'),
      tasks,
      files: await Promise.all(files.map(async file => ({ file, content: await digestAt(`/v1/files/${file.id}/content`) }))),
      jobs: await Promise.all(jobs.map(async job => ({ job, events: await service.events(job.id) })))
    }
  }

  async function digestAt (path: string): Promise<string> {
    const response = await service.fetch('GET', path)
    assert.equal(response.status, 200, path)
    return digestOf(new Uint8Array(await response.arrayBuffer()))
  }

  async function isAccepted (key: string): Promise<boolean> {
    return (await service.ask('GET', '/v1/tasks', undefined, { key })).status === 200
  }

  const repeated = { path: '/v1/tasks', body: { name: 'once', kind: 'generation' }, options: { headers: { 'idempotency-key': 'the same every time' } } }

  test('a service with a history is backed up while it goes on', async () => {
    for (const task of ['things', 'others']) {
      await addTask(task)
      await publish(task)
      await publish(task, true)
    }
    await change('PUT', '/v1/tasks/things/aliases/production', { version: 1 })
    await change('PUT', '/v1/tasks/things/aliases/staging', { version: 2 })
    await service.post(repeated.path, repeated.body, repeated.options)
    keys.reader = (await service.post<NewKey>('/v1/keys', { name: 'reader', scopes: ['infer'] })).secret
    const { id, secret } = await service.post<NewKey>('/v1/keys', { name: 'to be revoked', scopes: ['infer'] })
    keys.revoked = secret
    await change('DELETE', `/v1/keys/${id}`)
    keys.acme = (JSON.parse((await service.permafrost(['keys', 'create', '--tenant', 'acme', '--json'])).stdout) as NewKey).secret

    const jobs = await Promise.all(Object.entries(RUNNING).map(async ([task, recipe]) => {
      await addTask(task)
      return { task, training_file: await service.upload(rowsOfTwoLabels()), recipe, method: METHOD }
    }))
    backedUp = await everything()
    for (const job of jobs) running[job.task] = (await service.post<Job>('/v1/training-jobs', job)).id
    for (const id of Object.values(running)) await service.events(id, isCheckpoint)

    const [ofRedis, ofStore, ...more] = documentedCommands('Back up what `npm start` runs')
    assert.deepEqual(more, [])
    await shell(ofRedis!, env)
    // What the first copy does not know, the second one has. In the other order, the index would name what is not there.
    await service.events(running.published!)
    await publish('things')
    await shell(ofStore!, env)
    assert.equal((await service.get<Job>(`/v1/training-jobs/${running.checkpointed!}`)).state, 'running')
  })

  test('what comes later is lost with the home', async () => {
    await publish('others')
    await change('DELETE', '/v1/tasks/things')
    await change('PUT', '/v1/tasks/others/aliases/production', { version: 1 })
    await service.post('/v1/keys', { name: 'too late', scopes: ['infer'] })
    await service.service.kill9()
    await until('its children have ended too', () => service.processes().length === 0)
    await rm(service.home, { recursive: true })
  })

  test('restored, everything of the time of the backup is there and answers as it did', async () => {
    for (const command of documentedCommands('Restore what `npm start` runs')) await shell(command, env)
    await service.startAgain()
    assert.deepEqual(await everything(), backedUp)
    assert.deepEqual([await isAccepted(keys.reader), await isAccepted(keys.acme), await isAccepted(keys.revoked)], [true, true, false])
    assert.deepEqual(await service.list('/v1/tasks', { key: keys.acme }), [])
    assert.equal((await service.post<Task>(repeated.path, repeated.body, repeated.options)).name, 'once')
  })

  test('jobs that ran are finished, from a checkpoint or from the beginning, and each makes one version', async () => {
    for (const [task, job] of Object.entries(running)) {
      const events = (await service.events(job)).map(({ event }) => event)
      assert.deepEqual(events.filter(event => event.type === 'state').map(({ state }) => state), ['queued', 'running', 'running', 'succeeded'], task)
      const evaluated = events.slice(events.findLastIndex(event => event.type === 'state' && event.state === 'running')).find(event => event.type === 'evaluation')!.step
      assert.equal(evaluated > FIRST_EVALUATION, task === 'checkpointed', `${task} was first evaluated at step ${evaluated}`)
      assert.deepEqual((await service.list<Version>(`/v1/tasks/${task}/versions`)).map(({ version, job }) => [version, job]), [[1, job]])
      assert.equal((await service.infer(task, 'the basket')).version, 1)
    }
  })

  test('and it goes on: the next version is made and served', async () => {
    assert.equal(await publish('things'), 3)
  })
})
