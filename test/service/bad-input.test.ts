/** Everything wrong that can be asked of the running service: status, code, field; and nobody else notices. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { startedService } from '../../src/cli/running-service.js'
import { type Digest, digestOf, hexOf } from '../../src/digest.js'
import { ARTIFACT_FILES, type ArtifactFiles } from '../../src/prompt/artifact.js'
import { artifactDigest } from '../../src/prompt/artifact-digest.js'
import { RedisRegistry } from '../../src/registry/redis-registry.js'
import { artifactFileKey } from '../../src/registry/store/object-keys.js'
import { openStores, type Stores } from '../../src/registry/store/open-stores.js'
import { homePaths } from '../../src/supervisor/home.js'
import { errorOf, type InferAnswer, type InferEvent, type Job, type NewKey, type Version } from '../api/answers.js'
import { receivedEvents } from '../api/server-sent-events.js'
import { type AskOptions, type Body, isCheckpoint, jsonl, rowsOfTwoLabels, Testbed } from './testbed.js'

interface Case {
  readonly name: string
  readonly request: readonly [method: string, path: string, body?: Body, options?: AskOptions]
  readonly status: number
  readonly code: string
  readonly param: string | null
  readonly line?: number
}

function infer (body: Body, task = 'things', options: AskOptions = {}): Case['request'] {
  return ['POST', `/v1/tasks/${task}/infer`, body, options]
}

function upload (text: string): Case['request'] {
  return ['POST', '/v1/files', Buffer.from(text)]
}

suite('bad input', { timeout: 900_000 }, () => {
  let service: Testbed
  let base: string
  let stores: Stores
  let registry: RedisRegistry
  let good: ArtifactFiles
  before(async () => {
    service = await Testbed.open()
    base = (await service.base()).name
    stores = await openStores({ PERMAFROST_HOME: service.home })
    registry = await RedisRegistry.connect({ url: (await startedService(homePaths(service.home)))!.redisUrl, objects: stores.objects, whenDown: 'fail' })
    await service.post('/v1/tasks', { name: 'things', kind: 'classification', labels: ['basket', 'frog'] })
    await service.post('/v1/tasks', { name: 'writer', kind: 'generation' })
    await service.events(await service.train('things', { rows: rowsOfTwoLabels(), recipe: { max_steps: 10 }, method: { type: 'prefix-tuning', num_virtual_tokens: 4 } }))
    good = await stores.artifacts.get((await service.get<Version & { readonly digest: Digest }>('/v1/tasks/things/versions/1')).digest)
  })
  after(async () => {
    await registry?.close()
    await service.close()
  })

  async function refusal ({ name, request }: Pick<Case, 'name' | 'request'>): Promise<Omit<Case, 'request'> & { readonly message: string }> {
    const answer = await service.ask(...request)
    const { code, param, message, line, request_id: id } = errorOf(answer)
    assert.equal(id, answer.headers.get('x-request-id'))
    assert.doesNotMatch(message, /\n|node_modules|\bat .*:\d+:\d+/, name)
    return { name, status: answer.status, code, param, message, ...line === undefined ? {} : { line } }
  }

  async function expectRefusal ({ request, ...expected }: Case): Promise<string> {
    const { message, ...found } = await refusal({ name: expected.name, request })
    assert.deepEqual(found, expected)
    return message
  }

  /** A version that no job of this service made. */
  async function publish (digest: Digest): Promise<string> {
    const { number } = await registry.publishVersion('default', 'things', { digest, method: 'prefix-tuning', numVirtualTokens: 4, metrics: {}, job: null, alias: null, by: 'a test' })
    return `things@${number}`
  }

  /** The trained prompt with one file changed. */
  function changed (name: string, change: (bytes: Uint8Array) => Uint8Array): ArtifactFiles {
    return new Map([...good].map(([file, bytes]) => [file, file === name ? change(Buffer.from(bytes)) : bytes]))
  }

  function manifestWith (fields: object): ArtifactFiles {
    return changed(ARTIFACT_FILES.manifest, bytes => Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(bytes).toString()) as object, ...fields })))
  }

  test('a table of refusals, while a stream runs on undisturbed', async () => {
    const { secret: key } = JSON.parse((await service.permafrost(['keys', 'create', '--tenant', 'other', '--scopes', 'infer,train', '--json'])).stdout) as NewKey
    const theirs = { key }
    const rows = await service.upload(rowsOfTwoLabels())
    const oneLabel = await service.upload(rowsOfTwoLabels().filter((_, i) => i % 2 === 0))
    const strange = await service.upload([...rowsOfTwoLabels({ count: 4 }), { input: 'a toad', label: 'toad' }])
    const untold = await service.upload(rowsOfTwoLabels().map(row => ({ ...row, target: '' })))
    const job = (body: object): Case['request'] => ['POST', '/v1/training-jobs', { task: 'things', training_file: rows, ...body }]
    const ok = '{"input": "a", "label": "basket"}\n'
    const cases: Case[] = [
      { name: 'malformed JSON', request: infer('{"input": '), status: 400, code: 'invalid_json', param: null },
      { name: 'JSON that is no object', request: infer('[1, 2]'), status: 400, code: 'invalid_request', param: 'body' },
      { name: 'no body', request: ['POST', '/v1/tasks/things/infer'], status: 400, code: 'invalid_request', param: 'body' },
      { name: 'a forbidden key', request: infer('{"input": "a", "__proto__": {"admin": true}}'), status: 400, code: 'invalid_json', param: null },
      { name: 'a wrong type', request: infer({ input: 5 }), status: 400, code: 'invalid_request', param: 'input' },
      { name: 'a wrong type of an option', request: infer({ input: 'a', max_tokens: 'five' }, 'writer'), status: 400, code: 'invalid_request', param: 'max_tokens' },
      { name: 'a number out of range', request: infer({ input: 'a', temperature: -1 }, 'writer'), status: 400, code: 'invalid_request', param: 'temperature' },
      { name: 'an unknown parameter', request: infer({ input: 'a', temprature: 1 }), status: 400, code: 'unknown_parameter', param: 'temprature' },
      { name: 'an unknown hyper-parameter', request: job({ recipe: { learning_rat: 1 } }), status: 400, code: 'unknown_parameter', param: 'recipe/learning_rat' },
      { name: 'an unknown query parameter', request: ['GET', '/v1/tasks?limit=1'], status: 400, code: 'unknown_parameter', param: 'limit' },
      { name: 'an unknown task', request: infer({ input: 'a' }, 'nothing'), status: 404, code: 'task_not_found', param: 'task' },
      { name: 'an unknown version', request: infer({ input: 'a' }, 'things@99'), status: 404, code: 'version_not_found', param: 'version' },
      { name: 'an unknown alias', request: infer({ input: 'a' }, 'things@nothing'), status: 404, code: 'alias_not_found', param: 'alias' },
      { name: 'a task that has no version yet', request: infer({ input: 'a' }, 'writer'), status: 404, code: 'alias_not_found', param: 'alias' },
      { name: 'another tenant\'s task', request: infer({ input: 'a' }, 'things', theirs), status: 404, code: 'task_not_found', param: 'task' },
      { name: 'another tenant\'s file', request: ['GET', `/v1/files/${rows}`, undefined, theirs], status: 404, code: 'file_not_found', param: 'file' },
      { name: 'a key that nobody has', request: ['GET', '/v1/tasks', undefined, { key: 'pf_nothing' }], status: 401, code: 'invalid_api_key', param: 'authorization' },
      { name: 'a scope that the key has not', request: ['GET', '/v1/keys', undefined, theirs], status: 403, code: 'insufficient_scope', param: 'authorization' },
      { name: 'an empty input', request: infer({ input: ' \n' }), status: 400, code: 'empty_input', param: 'input' },
      { name: 'an input with more tokens than positions', request: infer({ input: 'a frog '.repeat(4000) }), status: 400, code: 'context_too_long', param: 'input' },
      { name: 'an input with more bytes than positions can hold', request: infer({ input: 'x'.repeat(100_000) }), status: 400, code: 'context_too_long', param: 'input' },
      { name: 'an option of generation for a classification', request: infer({ input: 'a', max_tokens: 3 }), status: 400, code: 'invalid_request', param: 'max_tokens' },
      { name: 'a field that the template has not', request: infer({ input: { premise: 'a' } }), status: 400, code: 'invalid_request', param: 'input/premise' },
      { name: 'a label outside the task', request: job({ training_file: strange }), status: 422, code: 'unknown_label', param: 'label', line: 5 },
      { name: 'one label only', request: job({ training_file: oneLabel }), status: 422, code: 'one_label', param: 'training_file' },
      { name: 'a task of one label', request: ['POST', '/v1/tasks', { name: 'one', kind: 'classification', labels: ['basket'] }], status: 422, code: 'one_label', param: 'labels' },
      { name: 'rows without a target for generation', request: job({ task: 'writer', training_file: untold }), status: 422, code: 'bad_line', param: 'target', line: 1 },
      { name: 'a file that does not exist', request: job({ training_file: 'file_nothing' }), status: 404, code: 'file_not_found', param: 'training_file' },
      { name: 'too many virtual tokens', request: job({ method: { type: 'prefix-tuning', num_virtual_tokens: 151 } }), status: 400, code: 'invalid_request', param: 'method/num_virtual_tokens' },
      { name: 'an unknown method', request: job({ method: { type: 'lora' } }), status: 400, code: 'invalid_request', param: 'method/type' },
      { name: 'a bad line of JSONL', request: upload(`${ok}{"input": "a", \n`), status: 422, code: 'bad_line', param: null, line: 2 },
      { name: 'a line without input', request: upload(`${ok}${ok}\n{"text": "a"}\n`), status: 422, code: 'bad_line', param: 'input', line: 4 },
      { name: 'a line with an empty input', request: upload(`${ok}{"input": "", "label": "frog"}\n`), status: 422, code: 'bad_line', param: 'input', line: 2 },
      { name: 'a file that is not UTF-8', request: ['POST', '/v1/files', Buffer.concat([Buffer.from(ok), Buffer.from([0x7b, 0xff, 0xfe, 0x7d])])], status: 422, code: 'bad_line', param: null, line: 2 },
      { name: 'an empty file', request: upload(''), status: 422, code: 'empty_file', param: 'file' },
      { name: 'a file of empty lines', request: upload('\n\n'), status: 422, code: 'empty_file', param: 'file' },
      { name: 'a name that is taken', request: ['POST', '/v1/tasks', { name: 'things', kind: 'generation' }], status: 409, code: 'task_exists', param: 'name' },
      { name: 'an alias for a version that is not there', request: ['PUT', '/v1/tasks/things/aliases/production', { version: 99 }], status: 404, code: 'version_not_found', param: 'version' },
      { name: 'an unknown path', request: ['GET', '/v2/tasks'], status: 404, code: 'route_not_found', param: null },
      { name: 'a wrong method', request: ['PUT', '/v1/tasks/things', {}], status: 405, code: 'method_not_allowed', param: null },
      { name: 'a wrong content type', request: ['POST', '/v1/tasks', 'name=a', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }], status: 415, code: 'unsupported_media_type', param: null }
    ]
    const alone = await stream()
    const beside = stream()
    const refusals = []
    for (const one of cases) {
      const { message: _message, ...refused } = await refusal(one)
      refusals.push(refused)
    }
    assert.deepEqual(refusals, cases.map(({ request: _request, ...expected }) => expected))
    // All at once as well: none of them is in another's way.
    await Promise.all(cases.map(expectRefusal))
    assert.equal(await beside, alone)

    // Word for word what a name that does not exist gets.
    const foreign = await expectRefusal({ name: 'foreign', request: ['GET', '/v1/tasks/writer', undefined, theirs], status: 404, code: 'task_not_found', param: 'task' })
    assert.equal(foreign.replace('writer', 'absent'), await expectRefusal({ name: 'absent', request: ['GET', '/v1/tasks/absent', undefined, theirs], status: 404, code: 'task_not_found', param: 'task' }))
  })

  async function stream (): Promise<string> {
    const response = await service.fetch('POST', `/v1/tasks/${base}/infer`, { input: 'the basket', max_tokens: 1500, stream: true })
    let text = ''
    for await (const { event, data } of receivedEvents<InferEvent>(response)) {
      assert.notEqual(event, 'error')
      if (event === 'text') text += data.text
    }
    return text
  }

  test('many bad inputs in one call get their own errors', async () => {
    const { results } = await service.post<InferAnswer>('/v1/tasks/things/infer', { inputs: ['', 'the basket', 7, 'a frog '.repeat(4000)] })
    assert.deepEqual(results?.map(({ error }) => error === undefined ? null : [error.code, error.param]),
      [['empty_input', 'inputs/0'], null, ['invalid_request', 'inputs/2'], ['context_too_long', 'inputs/3']])
  })

  test('an artifact for another base, with NaN, cut, or damaged on disk is refused by what is wrong with it', async () => {
    const otherBase = digestOf('another base')
    const nan = changed(ARTIFACT_FILES.adapter, bytes => { Buffer.from(bytes.buffer, bytes.byteOffset).writeFloatLE(NaN, bytes.length - 4); return bytes })
    const cut = changed(ARTIFACT_FILES.adapter, bytes => bytes.subarray(0, bytes.length - 4))
    const cases: Array<Omit<Case, 'request'> & { readonly files: ArtifactFiles }> = [
      { name: 'another base', files: manifestWith({ base: otherBase }), status: 422, code: 'wrong_base', param: 'base' },
      { name: 'NaN', files: nan, status: 422, code: 'not_finite', param: 'prompt_embeddings' },
      { name: 'cut', files: cut, status: 422, code: 'malformed_artifact', param: ARTIFACT_FILES.adapter },
      { name: 'no manifest', files: new Map([...good].filter(([name]) => name !== ARTIFACT_FILES.manifest)), status: 422, code: 'malformed_artifact', param: ARTIFACT_FILES.manifest }
    ]
    for (const { files, ...one } of cases) {
      const reference = await publish(await stores.artifacts.put(files))
      const message = await expectRefusal({ ...one, request: ['POST', `/v1/tasks/${reference}/infer`, { input: 'the basket' }] })
      if (one.code === 'wrong_base') assert.ok(message.includes(otherBase) && message.includes((await service.base()).digest))
    }

    const files = manifestWith({ createdAt: '2001-01-01T00:00:00.000Z' })
    const digest = artifactDigest(files)
    await stores.artifacts.put(files)
    const path = join(service.home, 'store', artifactFileKey(digest, ARTIFACT_FILES.adapter))
    const bytes = await readFile(path)
    bytes[bytes.length - 1]! ^= 1
    await writeFile(path, bytes)
    const reference = await publish(digest)
    const corrupt = { name: `corrupt ${hexOf(digest)}`, status: 500, code: 'artifact_corrupt', param: null }
    await expectRefusal({ ...corrupt, request: ['POST', `/v1/tasks/${reference}/infer`, { input: 'the basket' }] })
    await expectRefusal({ ...corrupt, request: ['GET', `/v1/tasks/things/versions/${reference.split('@')[1]!}/artifact`] })
    assert.equal((await service.infer('things', 'the basket')).version, 1)
  })

  test('a job cancelled twice: the second time it is over', async () => {
    const job = await service.train('things', { rows: rowsOfTwoLabels(), recipe: { max_steps: 3000, evaluations: 200 } })
    await service.events(job, isCheckpoint)
    assert.equal((await service.ask<Job>('POST', `/v1/training-jobs/${job}/cancel`)).body.state, 'cancelled')
    await expectRefusal({ name: 'again', request: ['POST', `/v1/training-jobs/${job}/cancel`], status: 409, code: 'job_not_cancellable', param: 'job' })
    assert.deepEqual((await service.events(job)).at(-1)!.event, { type: 'state', state: 'cancelled' })
    assert.deepEqual((await service.list<Version>('/v1/tasks/things/versions')).filter(version => version.job === job), [])
  })

  test('after all that, training and serving go on in the same processes', async () => {
    await service.events(await service.train('things', { rows: rowsOfTwoLabels(), recipe: { max_steps: 2 }, publish: { alias: 'last' } }))
    assert.equal((await service.infer('things@last', 'the basket')).task, 'things')
    assert.ok(!service.service.lines.some(line => line.includes('starting it again')))
  })

  test('bytes that are a file to one and JSON to another', async () => {
    const answer = await service.ask('POST', '/v1/files', jsonl(rowsOfTwoLabels({ count: 2 })), { headers: { 'content-type': 'application/json' } })
    assert.deepEqual([answer.status, errorOf(answer).code], [415, 'unsupported_media_type'])
  })
})
