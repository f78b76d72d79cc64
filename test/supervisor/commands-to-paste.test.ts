import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { commandsToPaste } from '../../src/supervisor/commands-to-paste.js'

/** What curl gets when the command is pasted into a shell. */
function argumentsOf (command: string): string[] {
  return execFileSync('sh', ['-c', `curl () { for argument in "$@"; do printf '%s\\0' "$argument"; done; }\n${command}`]).toString().split('\0').slice(0, -1)
}

suite('commandsToPaste()', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "permafrost's paste-"))
    await writeFile(join(folder, 'api-key'), 'pf_secret\n')
  })
  after(async () => await rm(folder, { recursive: true, force: true }))

  test('survive the shell: quotes in the input and in the path of the key', () => {
    const examples = [{ name: 'router', description: '', example_input: `it's "late" & $HOME` }]
    const [first] = commandsToPaste('http://127.0.0.1:8080', join(folder, 'api-key'), { name: 'base', hasChatTemplate: true }, examples)
    assert.deepEqual(argumentsOf(first!), [
      '-s', 'http://127.0.0.1:8080/v1/tasks/router/infer', '-H', 'Authorization: Bearer pf_secret', '-H', 'Content-Type: application/json',
      '-d', JSON.stringify({ input: examples[0]!.example_input })
    ])
  })

  test('are three, with and without example prompts', () => {
    const examples = ['a', 'b', 'c', 'd'].map(name => ({ name, description: '', example_input: name }))
    for (const count of [0, 1, 2, 4]) {
      assert.equal(commandsToPaste('http://h', 'key', { name: 'base', hasChatTemplate: false }, examples.slice(0, count)).length, 3)
    }
  })
})
