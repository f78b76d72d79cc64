/** Benchmarks that are asked for what they do not have. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const MAIN = join(fileURLToPath(new URL('.', import.meta.url)), '..', '..', 'bench', 'main.js')

function bench (...args: string[]): { status: number | null, stdout: string, stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' })
}

suite('usage of the benchmarks', () => {
  const { status, stdout, stderr } = bench()
  const names = [...stderr.matchAll(/^ {2}([a-z0-9-]+)/gm)].map(([, name]) => name!)

  test('without a name all are listed', () => {
    assert.equal(status, 2)
    assert.equal(stdout, '')
    for (const name of ['serving', 'isolation', 'many', 'swap']) assert.ok(names.includes(name), name)
  })
  for (const name of names) {
    test(`${name} takes --json and says its usage for an option that it does not have`, () => {
      const answer = bench(name, '--json', '--no-such-option')
      assert.equal(answer.status, 2, answer.stderr)
      assert.equal(answer.stdout, '')
      assert.match(answer.stderr, new RegExp(`no-such-option.*\\n  ${name}\\b`))
    })
  }
})
