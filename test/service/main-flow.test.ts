/** The main job, end to end: from a key file to answers of a trained prompt, its versions, and what strangers see of it. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { ReplicaClient } from '../../src/inference/client.js'
import type { StatusReport } from '../../src/inference/protocol.js'
import { homePaths } from '../../src/supervisor/home.js'
import { type Alias, type AliasMove, errorOf, type File, type InferAnswer, type InferEvent, type Job, type Key, type NewKey, type Task, type Version } from '../api/answers.js'
import { receivedEvents } from '../api/server-sent-events.js'
import { isFinal, rowsOfTwoLabels, Testbed, until } from './testbed.js'

const RECIPE = { max_steps: 60, evaluations: 3, learning_rate: 0.03, label_learning_rate: 0.03 }
const BASKET = 'the basket near 7'

suite('from a key to a served prompt', { timeout: 900_000 }, () => {
  let service: Testbed
  let processes: string
  before(async () => {
    service = await Testbed.open()
    processes = pids()
  })
  after(async () => await service.close())

  const pids = (): string => (['api', 'inference', 'worker'] as const).map(verb => service.pidOf(verb)).join()

  async function trained (task: string, options: Parameters<Testbed['train']>[1]): Promise<string> {
    const job = await service.train(task, options)
    const events = (await service.events(job)).map(({ event }) => event)
    assert.deepEqual(events.filter(event => event.type === 'state').map(event => event.state), ['queued', 'running', 'succeeded'])
    return job
  }

  test('train, watch, publish, and the next request is answered by the new prompt', async () => {
    assert.equal((await stat(homePaths(service.home).apiKey)).mode & 0o777, 0o600)
    const task = await service.post<Task>('/v1/tasks', { name: 'things', kind: 'classification', labels: ['basket', 'frog'] })
    assert.deepEqual([task.template, task.verbalizer, task.labels?.length], ['{input}\nLabel:', 'vectors', 2])
    assert.equal(errorOf(await service.ask('POST', '/v1/tasks/things/infer', { input: BASKET })).code, 'alias_not_found')

    const job = await service.train('things', { rows: rowsOfTwoLabels(), recipe: RECIPE, method: { type: 'prefix-tuning', num_virtual_tokens: 4 } })
    const first = await service.events(job, event => event.type === 'checkpoint')
    const rest = await service.events(job, isFinal, first.at(-1)!.id)
    // Taken up behind the last id, the stream repeats nothing and leaves nothing out.
    assert.deepEqual([...first, ...rest], await service.events(job))
    const types = new Set([...first, ...rest].map(({ event }) => event.type))
    assert.deepEqual([...types].sort(), ['checkpoint', 'evaluation', 'published', 'state', 'step'])

    const version = await service.get<Version>('/v1/tasks/things/versions/1')
    const record = await service.get<Job>(`/v1/training-jobs/${job}`)
    assert.deepEqual([record.state, record.version, record.recipe.max_steps, version.job], ['succeeded', 1, RECIPE.max_steps, job])
    const answer = await service.infer('things', BASKET, { scores: true })
    assert.deepEqual([answer.label, answer.version, answer.digest, answer.method], ['basket', 1, version.digest, 'prefix-tuning'])
    const { basket = 0, frog = 0 } = answer.scores ?? {}
    assert.ok(Math.abs(basket + frog - 1) < 1e-6 && basket > 0.5)
    assert.equal((await service.infer('things', 'a green frog 8')).label, 'frog')

    const artifact = await service.fetch('GET', '/v1/tasks/things/versions/1/artifact')
    assert.equal(artifact.headers.get('etag'), `"${version.digest}"`)
    assert.ok((await artifact.text()).startsWith('adapter_config.json\0'))
  })

  test('a second training is version 2; aliases and roll-backs change at once what is served', async () => {
    await trained('things', { rows: rowsOfTwoLabels({ swapped: true }), recipe: RECIPE, method: { type: 'prompt-tuning', num_virtual_tokens: 4 } })
    const label = async (reference: string): Promise<[version: number | null, label: string | undefined]> => {
      const { version, label } = await service.infer(reference, BASKET)
      return [version, label]
    }
    assert.deepEqual(await label('things'), [2, 'frog'])
    assert.deepEqual(await label('things@1'), [1, 'basket'])
    assert.equal((await service.infer('things', BASKET)).method, 'prompt-tuning')

    const { etag } = await service.get<Alias>('/v1/tasks/things/aliases/production')
    const moved = await service.ask('PUT', '/v1/tasks/things/aliases/production', { version: 1 }, { headers: { 'if-match': `"${etag}"` } })
    assert.equal(moved.status, 200)
    assert.deepEqual(await label('things'), [1, 'basket'])
    const late = await service.ask('PUT', '/v1/tasks/things/aliases/production', { version: 2 }, { headers: { 'if-match': `"${etag}"` } })
    assert.deepEqual([late.status, errorOf(late).code, late.headers.get('etag')], [412, 'alias_moved', moved.headers.get('etag')])
    await service.post('/v1/tasks/things/aliases/production/rollback', {})
    assert.deepEqual(await label('things'), [2, 'frog'])
    const moves = await service.list<AliasMove>('/v1/tasks/things/aliases/production/history')
    assert.deepEqual(moves.map(({ from, to }) => [from, to]), [[1, 2], [2, 1], [1, 2], [null, 1]])
  })

  test('a job publishes where it is told to, or nowhere', async () => {
    const options = { rows: rowsOfTwoLabels(), recipe: { ...RECIPE, max_steps: 8 }, method: { type: 'prefix-tuning', num_virtual_tokens: 2 } }
    await trained('things', { ...options, publish: false })
    await trained('things', { ...options, publish: { alias: 'staging' } })
    const served = await Promise.all(['things', 'things@3', 'things@staging'].map(async reference => (await service.infer(reference, BASKET)).version))
    assert.deepEqual(served, [2, 3, 4])
    assert.deepEqual((await service.list<Alias>('/v1/tasks/things/aliases')).map(({ alias }) => alias).sort(), ['production', 'staging'])
  })

  test('a POST repeated with its Idempotency-Key is one job', async () => {
    const request = { task: 'things', training_file: await service.upload(rowsOfTwoLabels()), recipe: { max_steps: 2 }, publish: false }
    const headers = { 'idempotency-key': 'once' }
    const [first, second] = [await service.post<Job>('/v1/training-jobs', request, { headers }), await service.post<Job>('/v1/training-jobs', request, { headers })]
    assert.equal(first.id, second.id)
    await service.events(first.id)
    assert.equal((await service.list<Version>('/v1/tasks/things/versions')).filter(({ job }) => job === first.id).length, 1)
  })

  test('both methods write text, streamed or not, many tasks in flight together', async () => {
    await service.post('/v1/tasks', { name: 'writer', kind: 'generation', template: 'Which lamp has this name? {input}\n' })
    const rows = Array.from({ length: 24 }, (_, i) => ({ input: `name ${i}`, target: `the lamp ${i % 3}` }))
    for (const type of ['prefix-tuning', 'prompt-tuning']) {
      await trained('writer', { rows, recipe: { max_steps: 12, evaluations: 2 }, method: { type, num_virtual_tokens: 5 } })
    }
    const references = ['writer@1', 'writer@2', (await service.base()).name, 'things@1', 'things@2']
    const ask = async (reference: string): Promise<unknown> => {
      const { text, label } = await service.infer(reference, BASKET, reference.startsWith('things') ? {} : { max_tokens: 40 })
      return text ?? label
    }
    const alone: unknown[] = []
    for (const reference of references) alone.push(await ask(reference))
    assert.equal(new Set(alone).size, references.length) // each prompt has its own effect
    assert.deepEqual(await Promise.all([...references, ...references].map(ask)), [...alone, ...alone])

    const response = await service.fetch('POST', '/v1/tasks/writer@1/infer', { input: BASKET, max_tokens: 40, stream: true })
    const events: InferEvent[] = []
    for await (const event of receivedEvents<InferEvent>(response)) events.push(event)
    const [first, last] = [events[0]!, events.at(-1)!]
    assert.equal(first.event === 'start' && first.data.version, 1)
    assert.equal(last.event === 'finished' && last.data.finish_reason, 'length')
    assert.equal(events.filter(event => event.event === 'text').map(({ data }) => data.text).join(''), alone[0])

    // The text in front of the name ran once for each version, and not for each of some ten requests.
    const { fixedTokensPrefilledTotal, fixedTokensReusedTotal } = await inferenceStatus()
    assert.ok(fixedTokensPrefilledTotal > 0 && fixedTokensReusedTotal >= 2 * fixedTokensPrefilledTotal, `${fixedTokensPrefilledTotal} run, ${fixedTokensReusedTotal} not`)
  })

  test('two versions answer together: a label by the mean of their log-probabilities, a text the same streamed', async () => {
    const alone = await Promise.all([1, 2].map(async version => await service.infer(`things@${version}`, BASKET, { scores: true })))
    const together = await service.infer('things', BASKET, { scores: true, ensemble: [2, 1] })
    assert.deepEqual(together.ensemble?.map(({ version, digest }) => [version, digest]), alone.map(({ version, digest }) => [version, digest]))
    const weights = Object.keys(alone[0]!.scores!).map(label => [label, Math.sqrt(alone[0]!.scores![label]! * alone[1]!.scores![label]!)] as const)
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [label, weight] of weights) assert.ok(Math.abs(together.scores![label]! - weight / total) < 1e-9, `${label}: ${together.scores![label]} against ${weight / total}`)
    for (const count of ['prompt_tokens', 'virtual_tokens', 'completion_tokens'] as const) assert.equal(together.usage[count], alone[0]!.usage[count] + alone[1]!.usage[count])

    const { text, usage } = await service.infer('writer', BASKET, { max_tokens: 12, ensemble: [1, 2] })
    assert.deepEqual([usage.virtual_tokens, usage.completion_tokens], [10, 24])
    const command = await service.permafrost(['infer', 'writer', BASKET, '--max-tokens', '12', '--ensemble', '1,2', '--stream'])
    assert.deepEqual([command.code, command.stdout], [0, `${text}\n`])
  })

  test('many inputs in one call are answered in order, each for itself', async () => {
    const { results } = await service.post<InferAnswer>('/v1/tasks/things@1/infer', { inputs: [BASKET, '', 'a green frog 2', 5] })
    assert.deepEqual(results?.map(({ label, error }) => label ?? [error?.code, error?.param]), ['basket', ['empty_input', 'inputs/1'], 'frog', ['invalid_request', 'inputs/3']])
  })

  test('nothing of this tenant exists for another one', async () => {
    const created = await service.permafrost(['keys', 'create', '--tenant', 'other', '--scopes', 'infer,train,publish,admin', '--json'])
    assert.equal(created.code, 0, created.stderr)
    const { secret: key, id } = JSON.parse(created.stdout) as NewKey
    const [job] = (await service.list<Job>('/v1/training-jobs')).map(({ id }) => id)
    const [file] = (await service.list<File>('/v1/files')).map(({ id }) => id)
    const theirs: Array<[method: string, path: string, body?: object]> = [
      ['GET', '/v1/tasks/things'], ['PATCH', '/v1/tasks/things', { description: 'mine' }], ['DELETE', '/v1/tasks/things'],
      ['POST', '/v1/tasks/things/infer', { input: BASKET }], ['POST', '/v1/tasks/things@1/infer', { input: BASKET }],
      ['GET', '/v1/tasks/things/versions'], ['GET', '/v1/tasks/things/versions/1'], ['GET', '/v1/tasks/things/versions/1/artifact'],
      ['GET', '/v1/tasks/things/aliases'], ['PUT', '/v1/tasks/things/aliases/production', { version: 1 }], ['POST', '/v1/tasks/things/aliases/production/rollback'],
      ['GET', `/v1/training-jobs/${job}`], ['GET', `/v1/training-jobs/${job}/events`], ['POST', `/v1/training-jobs/${job}/cancel`],
      ['GET', `/v1/files/${file}`], ['GET', `/v1/files/${file}/content`], ['DELETE', `/v1/files/${file}`],
      ['POST', '/v1/training-jobs', { task: 'things', training_file: file }]
    ]
    for (const [method, path, body] of theirs) {
      const answer = await service.ask(method, path, body, { key })
      assert.deepEqual([method, path, answer.status, /^(task|job|file)_not_found$/.test(errorOf(answer).code)], [method, path, 404, true])
    }
    for (const list of ['/v1/tasks', '/v1/training-jobs', '/v1/files']) assert.deepEqual(await service.list(list, { key }), [])
    assert.deepEqual((await service.list<Key>('/v1/keys', { key })).map(one => one.id), [id])

    // The same names are free there, and a key is of one tenant only.
    await service.post('/v1/tasks', { name: 'things', kind: 'generation' }, { key })
    assert.equal((await service.get<Task>('/v1/tasks/things')).kind, 'classification')
    const [ours] = await service.list<Key>('/v1/keys')
    assert.equal(errorOf(await service.ask('DELETE', `/v1/keys/${ours!.id}`, undefined, { key })).code, 'key_not_found')
    await service.ask('DELETE', `/v1/keys/${id}`, undefined, { key })
    assert.equal((await service.ask('GET', '/v1/tasks', undefined, { key })).status, 401)
    const { secret: narrow } = await service.post<NewKey>('/v1/keys', { name: 'narrow', scopes: ['infer'] })
    const refused = await service.ask('GET', '/v1/files', undefined, { key: narrow })
    assert.deepEqual([refused.status, errorOf(refused).code, /train/.test(errorOf(refused).message)], [403, 'insufficient_scope', true])
  })

  test('sixteen streams, half of them hung up: every slot is free afterwards', async t => {
    const base = (await service.base()).name
    const streams = Array.from({ length: 16 }, async (_, i) => {
      const hangsUp = i % 2 === 1
      const abort = new AbortController()
      const response = await service.fetch('POST', `/v1/tasks/${i % 3 === 0 ? 'writer@1' : base}/infer`, { input: `stream ${i}`, max_tokens: hangsUp ? 4000 : 150, stream: true }, { signal: abort.signal })
      let last = ''
      for await (const { event } of receivedEvents(response)) {
        last = event
        if (hangsUp && event === 'text') break
      }
      abort.abort()
      return last
    })
    assert.deepEqual(await Promise.all(streams), streams.map((_, i) => i % 2 === 1 ? 'text' : 'finished'))
    // Since the last time that anybody asked for metrics: the whole of this suite.
    t.diagnostic(`event-loop delay of the api, p99: ${(1000 * (await metrics()).get('nodejs_eventloop_lag_p99_seconds')!).toFixed(1)} ms`)
    await until('no sequence runs or waits', async () => {
      const { running, waiting } = await inferenceStatus()
      return running === 0 && waiting === 0
    })
    assert.equal((await metrics()).get('permafrost_inference_slots'), 8)
  })

  /** Asked of the process itself: what the api knows of it may be a second old. */
  async function inferenceStatus (): Promise<StatusReport> {
    const inference = new ReplicaClient(`unix:${join(homePaths(service.home).sockets, 'inference.sock')}`)
    try {
      return await inference.status()
    } finally {
      inference.close()
    }
  }

  /** By name: of those with labels, the last. */
  async function metrics (): Promise<Map<string, number>> {
    const lines = (await service.get<string>('/metrics')).split('\n').filter(line => line !== '' && !line.startsWith('#'))
    return new Map(lines.map(line => [line.split(/[ {]/, 1)[0]!, Number(line.slice(line.lastIndexOf(' ') + 1))]))
  }

  test('the api process has loaded neither ONNX Runtime nor koffi; nothing was restarted', () => {
    const native = /onnxruntime|koffi/
    assert.match(service.mapsOf(service.pidOf('inference')), native)
    assert.match(service.mapsOf(service.pidOf('worker')), native)
    assert.doesNotMatch(service.mapsOf(service.pidOf('api')), native)
    assert.equal(pids(), processes)
    assert.equal(existsSync(join(service.home, 'store', 'checkpoints')), true)
  })
})
