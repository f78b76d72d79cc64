import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { VERSION } from '../../src/project.js'
import { type CommandResult, environment, permafrost } from '../support/service.js'

suite('permafrost', () => {
  let home: string
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'permafrost-cli-'))
    await writeFile(join(home, 'bad.jsonl'), '{"input": "a", "target": "b"}\n{"input": 7}\n')
  })
  after(async () => await rm(home, { recursive: true, force: true }))

  const run = async (args: string[], settings: Record<string, string> = {}): Promise<CommandResult> => await permafrost(environment(home, settings), args)

  test('--version and --help answer on stdout with 0', async () => {
    assert.deepEqual(await run(['--version']), { code: 0, stdout: `${VERSION}\n`, stderr: '' })
    const help = await run(['--help'])
    assert.equal(help.code, 0)
    for (const verb of ['start', 'api', 'inference', 'worker', 'health', 'base', 'train', 'eval', 'infer', 'alias', 'keys']) assert.match(help.stdout, new RegExp(`^  permafrost ${verb}`, 'm'))
    assert.match((await run(['train', '--help'])).stdout, /--watch/)
  })

  test('a wrong command line is exit code 2, with the usage on stderr', async () => {
    for (const [args, message] of [
      [[], /^usage:/],
      [['frobnicate'], /^frobnicate is no command of permafrost/],
      [['infer', 'task'], /^INPUT is missing/],
      [['infer', 'task', 'a', 'b'], /^"b" is one argument too many/],
      [['infer', 'task', 'a', '--colour'], /--colour/],
      [['infer', 'task', 'a', '--top-k', 'many'], /^--top-k takes a number, not "many"/],
      [['train', 'nowhere.jsonl', '--task', 't'], /^nowhere\.jsonl can not be read/],
      [['train', 'x.jsonl'], /^--task is missing/],
      [['keys', 'create', '--scopes', 'infer,fly'], /^"fly" is no scope/],
      [['alias', 'set', 'task', 'production', 'seven'], /^VERSION is a number/],
      [['base'], /^say what to do with the bases/]
    ] as Array<[string[], RegExp]>) {
      const { code, stdout, stderr } = await run(args)
      assert.deepEqual([code, stdout], [2, ''], `${args.join(' ')}: ${stderr}`)
      assert.match(stderr, message)
    }
  })

  test('bad settings are exit code 78, all of them at once', async () => {
    const { code, stderr } = await run(['start'], { PORT: 'many', WORKERS: '-1' })
    assert.equal(code, 78)
    assert.match(stderr, /PORT: .*\n.*WORKERS: /)
  })

  test('what fails is exit code 1, in one line', async () => {
    assert.deepEqual(await run(['train', join(home, 'bad.jsonl'), '--task', 't']), { code: 1, stdout: '', stderr: 'bad_line: line 2: input must be a text or an object of texts (input)\n' })
    const noKey = await run(['infer', 'task', 'text'])
    assert.equal(noKey.code, 1)
    assert.match(noKey.stderr, /^no API key: set PERMAFROST_API_KEY, or start a service with this PERMAFROST_HOME \(.*\)\n$/)
    const nobody = await run(['infer', 'task', 'text'], { PERMAFROST_API_KEY: 'pf_x', PERMAFROST_URL: 'http://127.0.0.1:1' })
    assert.deepEqual([nobody.code, nobody.stderr], [1, 'no Permafrost answers at http://127.0.0.1:1 (start one with npm start, or set PERMAFROST_URL)\n'])
    const noService = await run(['keys', 'list', '--tenant', 'acme'])
    assert.deepEqual([noService.code, noService.stderr.split(';')[0]], [1, `no service runs on PERMAFROST_HOME ${home}`])
  })

  test('base list of a fresh home is empty, and a base that is not there is said', async () => {
    assert.deepEqual(await run(['base', 'list', '--json']), { code: 0, stdout: '[]\n', stderr: '' })
    assert.equal((await run(['base', 'inspect', 'nothing'])).code, 1)
    const missing = await run(['base', 'add', join(home, 'missing.gguf')])
    assert.equal(missing.code, 1)
    assert.match(missing.stderr, /missing\.gguf does not exist\n$/)
  })
})
