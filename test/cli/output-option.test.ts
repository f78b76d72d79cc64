import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { outputOption } from '../../src/cli/output-option.js'
import { UsageError } from '../../src/cli/verb.js'

suite('--output', () => {
  test('is JSON, or a file that holds it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'permafrost-output-'))
    try {
      const file = join(folder, 'output.json')
      await writeFile(file, '{ "regex": "\\\\d+" }\n')
      assert.deepEqual(await outputOption(file), { regex: '\\d+' })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
    assert.deepEqual(await outputOption(' {"choices": ["yes"]}'), { choices: ['yes'] })
    assert.equal(await outputOption(undefined), undefined)
    await assert.rejects(outputOption('{choices}'), UsageError)
  })
})
