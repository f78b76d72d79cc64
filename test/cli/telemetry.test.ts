import assert from 'node:assert/strict'
import { mkdtempSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { environment, permafrost } from '../support/service.js'
import { writeTinyLlama } from '../support/tiny-llama.js'

test('ONNX Runtime keeps no log of what it reports, because it reports nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-telemetry-'))
  try {
    const [home, model, temporary] = ['home', 'model', 'tmp'].map(name => join(folder, name)) as [string, string, string]
    for (const made of [model, temporary]) mkdirSync(made)
    writeTinyLlama(model)
    // Without what the environment of this test says: the command itself has to say it.
    const { ORT_DISABLE_TELEMETRY: _, ...env } = environment(home, { TMPDIR: temporary })
    const { code } = await permafrost(env, ['base', 'add', model])
    assert.equal(code, 0)
    assert.deepEqual(readdirSync(temporary), [])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
