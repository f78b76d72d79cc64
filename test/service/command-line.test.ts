/** The verbs that speak to a running service, and what a script can rely on: exit codes, JSON on stdout, the rest on stderr. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { Evaluation } from '../../src/cli/evaluation.js'
import type { BaseManifest } from '../../src/model/base.js'
import type { JobEvent } from '../../src/training/job.js'
import type { Job, Key, NewKey } from '../api/answers.js'
import { jsonl, rowsOfTwoLabels, Testbed } from './testbed.js'

suite('the command line against a running service', { timeout: 900_000 }, () => {
  let service: Testbed
  let data: string
  before(async () => {
    service = await Testbed.open()
    data = join(service.folder, 'rows.jsonl')
    await writeFile(data, jsonl(rowsOfTwoLabels()))
  })
  after(async () => await service.close())

  const file = async (name: string, rows: readonly object[]): Promise<string> => {
    const path = join(service.folder, name)
    await writeFile(path, jsonl(rows))
    return path
  }
  const json = async <Printed>(...args: string[]): Promise<Printed> => {
    const { code, stdout, stderr } = await service.permafrost([...args, '--json'])
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout)
  }

  test('train --watch makes the task, follows the job, and says by its exit code how it ended', async () => {
    const settings = ['max_steps=60', 'evaluations=3', 'learning_rate=0.03', 'label_learning_rate=0.03'].flatMap(setting => ['--set', setting])
    const { code, stdout, stderr } = await service.permafrost(['train', data, '--task', 'things', '--method', 'prompt-tuning', '--virtual-tokens', '4', '--watch', '--json', ...settings])
    assert.equal(code, 0, stderr)
    const lines = stdout.trim().split('\n')
    const job = JSON.parse(lines.pop()!) as Job
    const events = lines.map(line => JSON.parse(line) as JobEvent)
    assert.deepEqual(events.filter(event => event.type === 'state').map(({ state }) => state), ['queued', 'running', 'succeeded'])
    assert.deepEqual([job.state, job.version, job.method.type, job.method.num_virtual_tokens, job.recipe.max_steps], ['succeeded', 1, 'prompt-tuning', 4, 60])

    const cancelled = await service.permafrost(['train', data, '--task', 'things', '--watch', '--no-publish', '--set', 'max_steps=3000'], {
      onStderr: async text => {
        const id = /^(job_\w+): /.exec(text)?.[1]
        if (id === undefined) return
        await service.events(id, event => event.type === 'state' && event.state === 'running')
        await service.post(`/v1/training-jobs/${id}/cancel`, {})
      }
    })
    assert.deepEqual([cancelled.code, cancelled.stderr.trim().split('\n').at(-1)], [1, 'cancelled'])
  })

  test('eval scores a version; a label that the task has not is exit code 2, an unknown version 1', async () => {
    const scored = await json<Evaluation & { readonly task: string, readonly version: number }>('eval', 'things@1', data)
    assert.deepEqual([scored.task, scored.version, scored.rows, scored.errors, scored.metrics.accuracy, scored.metrics.macro_f1], ['things@1', 1, 60, 0, 1, 1])
    const plain = await service.permafrost(['eval', 'things', data, '--limit', '10'])
    assert.deepEqual([plain.code, /^things version 1: accuracy 1, macro_f1 1 \(10 rows in \d+\.\d s\)\n$/.test(plain.stdout)], [0, true], plain.stdout)
    const swapped = await json<Evaluation>('eval', 'things', await file('swapped.jsonl', rowsOfTwoLabels({ swapped: true })))
    assert.equal(swapped.metrics.accuracy, 0)
    const strange = await service.permafrost(['eval', 'things', await file('strange.jsonl', [{ input: 'a toad', label: 'toad' }])])
    assert.deepEqual([strange.code, strange.stdout], [2, ''])
    assert.match(strange.stderr, /^row 1: its label is none of the task's 2 labels/)
    const absent = await service.permafrost(['eval', 'things@7', data])
    assert.deepEqual([absent.code, absent.stdout], [1, ''])
    assert.match(absent.stderr, /^version_not_found: /)
  })

  test('infer prints a label, scores, a stream; what is wrong is one line on stderr', async () => {
    assert.equal((await service.permafrost(['infer', 'things', 'the basket near 3'])).stdout, 'basket\n')
    assert.equal((await service.permafrost(['infer', 'things', '-'], { stdin: 'a green frog 4\n' })).stdout, 'frog\n')
    const scores = (await service.permafrost(['infer', 'things@1', 'a green frog 4', '--scores'])).stdout
    assert.match(scores, /^frog\n {2}\d\.\d{4} {2}frog\n {2}\d\.\d{4} {2}basket\n$/)
    const { name: base } = await service.base()
    const whole = await service.permafrost(['infer', base, 'the basket', '--max-tokens', '12'])
    const streamed = await service.permafrost(['infer', base, 'the basket', '--max-tokens', '12', '--stream'])
    assert.deepEqual([streamed.code, streamed.stdout], [0, whole.stdout])
    const empty = await service.permafrost(['infer', 'things', ''])
    assert.deepEqual(empty, { code: 1, stdout: '', stderr: 'empty_input: input is empty (input)\n' })
  })

  test('base list and inspect know the base that is served', async () => {
    const listed = await json<BaseManifest[]>('base', 'list')
    const served = await service.base()
    assert.deepEqual(listed.map(({ name, digest }) => [name, digest]), [[served.name, served.digest]])
    assert.equal((await json<BaseManifest>('base', 'inspect', served.digest)).config.contextLength, 4096)
  })

  test('keys are made, listed and revoked, of this tenant with a key and of any without one', async () => {
    const created = await json<NewKey>('keys', 'create', '--scopes', 'infer', '--name', 'a script')
    assert.equal((await service.ask('POST', '/v1/tasks/things/infer', { input: 'the basket' }, { key: created.secret })).status, 200)
    const names = (await json<Key[]>('keys', 'list')).map(({ name }) => name)
    assert.deepEqual(names.sort(), ['a script', 'first key'])
    assert.deepEqual(await json('keys', 'revoke', created.id), { id: created.id, revoked: true })
    assert.equal((await service.ask('POST', '/v1/tasks/things/infer', { input: 'the basket' }, { key: created.secret })).status, 401)
    assert.equal((await service.permafrost(['keys', 'revoke', created.id])).code, 1)

    await json('keys', 'create', '--tenant', 'other', '--scopes', 'admin')
    assert.equal((await json<Key[]>('keys', 'list', '--tenant', 'other')).length, 1)
    assert.deepEqual(await json('keys', 'list', '--tenant', 'nobody'), [])
  })
})
