import assert from 'node:assert/strict'
import { existsSync, mkdirSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { metricsOf } from '../../bench/load/health.js'
import { newSecret } from '../../src/registry/api-keys.js'
import { identityOf } from '../../src/supervisor/process-identity.js'
import { allEnded, childrenOf, type CommandResult, environment, permafrost, startService, type StartedService } from '../support/service.js'
import { writeTinyLlama } from '../support/tiny-llama.js'

const COLOURS = ['red', 'green', 'blue']

suite('permafrost start', { timeout: 300_000 }, () => {
  let folder: string
  let home: string
  let settings: Record<string, string>
  let service: StartedService
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-start-'))
    home = join(folder, 'home')
    const base = join(folder, 'tiny-llama')
    mkdirSync(base)
    writeTinyLlama(base)
    // A health port is for a process that has a machine to itself: nobody takes it here.
    settings = { PERMAFROST_BASE: base, HEALTH_PORT: '1', INFERENCE_THREADS: '1', TRAINING_THREADS: '1', KV_SLOTS: '4', LOG_LEVEL: 'warn' }
    const rows = Array.from({ length: 60 }, (_, i) => JSON.stringify({ input: `a ${COLOURS[i % 3]!} thing`, target: COLOURS[i % 3] }))
    await writeFile(join(folder, 'colours.jsonl'), `${rows.join('\n')}\n`)
    service = await startService(home, settings)
  })
  after(async () => {
    await service.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const run = async (args: string[], stdin?: string): Promise<CommandResult> => await permafrost(environment(home), args, stdin === undefined ? {} : { stdin })

  test('prints the time of each phase, the key once, and three commands that work when pasted', async () => {
    for (const phase of ['redis', 'base model', 'inference, api and 1 worker']) {
      assert.ok(service.lines.some(line => new RegExp(`^${phase}: \\d+\\.\\d s$`).test(line)), `${phase}\n${service.lines.join('\n')}`)
    }
    const key = (await readFile(join(home, 'api-key'), 'utf8')).trim()
    assert.ok(service.lines.includes(`  ${key}`))
    assert.equal((await stat(join(home, 'api-key'))).mode & 0o777, 0o600)
    const commands = service.lines.filter(line => line.startsWith('  curl '))
    assert.equal(commands.length, 3)
    for (const command of commands) assert.match(command, new RegExp(service.url))
  })

  test('a second start on the same home is refused by naming the first', async () => {
    const { code, stderr } = await permafrost(environment(home, settings), ['start'])
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`another Permafrost \\(process ${service.pid}\\)`))
  })

  test('a port in use is said before anything is started', async () => {
    const { code, stderr } = await permafrost(environment(join(folder, 'other'), { ...settings, PORT: new URL(service.url).port }), ['start'])
    assert.equal(code, 1)
    assert.match(stderr, /^port \d+ on 127\.0\.0\.1 is in use; set PORT/m)
    assert.equal(existsSync(join(folder, 'other', 'redis')), false)
  })

  test('a task is trained, published, served without restart, and scored from the command line', async () => {
    const trained = await run(['train', join(folder, 'colours.jsonl'), '--task', 'colours', '--watch', '--set', 'epochs=4', '--set', 'batch_size=8'])
    assert.equal(trained.code, 0, trained.stderr)
    assert.match(trained.stderr, /new task colours: classification, .*3 labels: blue, green, red/)
    assert.match(trained.stderr, /published as version 1, production points to it/)

    const answer = await run(['infer', 'colours', 'a red thing', '--json'])
    const { version, label } = JSON.parse(answer.stdout) as { version: number, label: string }
    assert.equal(version, 1)
    assert.ok(COLOURS.includes(label))

    const scored = await run(['eval', 'colours@1', join(folder, 'colours.jsonl'), '--json'])
    const { rows, errors, metrics } = JSON.parse(scored.stdout) as { rows: number, errors: number, metrics: { accuracy: number, macro_f1: number } }
    assert.deepEqual([rows, errors], [60, 0])
    assert.ok(metrics.accuracy >= 0 && metrics.accuracy <= 1 && metrics.macro_f1 <= 1)
  })

  test('JSONL in gives JSONL out, and says with the exit code that a line got no answer', async () => {
    const lines = ['{"input": "a red thing", "id": 1}', '{"input": "", "id": 2}']
    const { code, stdout } = await run(['infer', 'colours', '-'], lines.join('\n'))
    const [first, second] = stdout.trim().split('\n').map(line => JSON.parse(line) as { id: number, label?: string, error?: { code: string } })
    assert.equal(code, 1)
    assert.equal(first?.id, 1)
    assert.ok(COLOURS.includes(first?.label ?? ''))
    assert.equal(second?.error?.code, 'empty_input')
  })

  test('the operator makes keys of another tenant without a key, and that tenant sees nothing of the first', async () => {
    const created = await run(['keys', 'create', '--tenant', 'acme', '--scopes', 'infer,train', '--json'])
    const { secret } = JSON.parse(created.stdout) as { secret: string }
    const theirs = await permafrost(environment(home, { PERMAFROST_API_KEY: secret }), ['infer', 'colours', 'a red thing'])
    assert.equal(theirs.code, 1)
    assert.match(theirs.stderr, /^task_not_found: /)
  })

  test('a first key that the operator chose is kept for the command line and not shown', async () => {
    const [other, secret] = [join(folder, 'chosen'), newSecret()]
    const chosen = await startService(other, { ...settings, FIRST_API_KEY: secret })
    try {
      assert.equal(await readFile(join(other, 'api-key'), 'utf8'), `${secret}\n`)
      assert.equal((await permafrost(environment(other), ['keys', 'list'])).code, 0)
      assert.ok(!chosen.lines.some(line => line.includes(secret)))
    } finally {
      await chosen.stop()
    }
  })

  test('a start right behind a killed one ends what that left and works at once; with HEALTH_PORT=0 each process has its own port', async () => {
    const children = await childrenOf(home)
    await service.kill9()
    service = await startService(home, { ...settings, HEALTH_PORT: '0', LOG_LEVEL: 'info' })
    for (const process of ['api', 'inference'] as const) assert.ok((await metricsOf(home, process))('nodejs_eventloop_lag_p99_seconds') > 0)
    assert.equal((await run(['infer', 'colours', 'a red thing'])).code, 0)
    await allEnded(children)
    assert.notEqual(identityOf(service.pid), null)
  })
})
