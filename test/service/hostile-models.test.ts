/** `permafrost base add` with files that lie: exit code 1, one line that says why, and nothing stays. */
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { HEAD } from '../../src/model/llama-tensors.js'
import { SafetensorsFile } from '../../src/model/safetensors-file.js'
import { ggufBytes } from '../support/gguf-writer.js'
import { type CommandResult, environment, permafrost } from '../support/service.js'
import { fixturesFolder } from '../support/shared.js'
import { writeTinyLlama } from '../support/tiny-llama.js'

const MAX_MS = 20_000

suite('hostile model files', { timeout: 900_000 }, () => {
  let folder: string
  let count = 0
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'permafrost-hostile-')) })
  after(async () => await rm(folder, { recursive: true, force: true }))

  function newFolder (name: string): string {
    const path = join(folder, `${name}-${++count}`)
    mkdirSync(path)
    return path
  }

  /** A tiny Llama with one file changed. */
  function damaged (file: string, damage: (path: string) => void): string {
    const model = newFolder('model')
    writeTinyLlama(model)
    damage(join(model, file))
    return model
  }

  async function expectRefused (source: string, reason: RegExp): Promise<CommandResult> {
    const [home, temporary] = [newFolder('home'), newFolder('tmp')]
    const begun = performance.now()
    const result = await permafrost(environment(home, { TMPDIR: temporary }), ['base', 'add', source])
    const { code, stdout, stderr } = result
    assert.deepEqual([code, stdout], [1, ''], stderr)
    const lines = stderr.trim().split('\n').filter(line => !line.startsWith('import, '))
    assert.equal(lines.length, 1, stderr)
    assert.match(lines[0]!, reason)
    assert.ok(performance.now() - begun < MAX_MS)
    const left = [home, temporary].flatMap(path => readdirSync(path, { recursive: true, withFileTypes: true }).filter(entry => !entry.isDirectory()).map(entry => entry.name))
    assert.deepEqual(left, [])
    return result
  }

  test('weights whose header claims more than the file has', async () => {
    await expectRefused(damaged('model.safetensors', path => {
      const bytes = readFileSync(path)
      bytes.writeBigUInt64LE(2n ** 60n, 0)
      writeFileSync(path, bytes)
    }), /1152921504606846976/)
  })

  test('weights cut short', async () => {
    await expectRefused(damaged('model.safetensors', path => { writeFileSync(path, readFileSync(path).subarray(0, -1000)) }), /model\.safetensors|bytes/)
  })

  test('weights with NaN, by the name of the tensor', async () => {
    await expectRefused(damaged('model.safetensors', path => {
      const file = new SafetensorsFile(path)
      const { offset } = file.header.tensors.get(HEAD)!
      file.close()
      const bytes = readFileSync(path)
      bytes.writeFloatLE(NaN, offset)
      writeFileSync(path, bytes)
    }), /lm_head\.weight/)
  })

  test('a configuration that contradicts the weights, and one of another family', async () => {
    for (const [fields, reason] of [
      [{ hidden_size: 128 }, /128/],
      [{ num_hidden_layers: 1_000_000_000 }, /num_hidden_layers|layers/],
      [{ model_type: 'mamba', architectures: ['MambaForCausalLM'] }, /mamba/i]
    ] as const) {
      await expectRefused(damaged('config.json', path => {
        writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')) as object, ...fields }))
      }), reason)
    }
  })

  test('a tokenizer with a regular expression of its own, an endless one, and no JSON', async () => {
    const tokenizer = (edit: (json: { pre_tokenizer: unknown }) => void): string => damaged('tokenizer.json', path => {
      const json = JSON.parse(readFileSync(path, 'utf8')) as { pre_tokenizer: unknown }
      edit(json)
      writeFileSync(path, JSON.stringify(json))
    })
    await expectRefused(tokenizer(json => { json.pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false } }), /regular expression|pattern|Regex/)
    await expectRefused(damaged('tokenizer.json', path => { writeFileSync(path, '['.repeat(1_000_000)) }), /tokenizer\.json/)
    await expectRefused(damaged('tokenizer.json', path => { writeFileSync(path, Buffer.from([0xff, 0xfe])) }), /tokenizer\.json/)
  })

  test('no model at all: an empty file, a pickle, a folder without weights', async () => {
    const file = (name: string, bytes: string | Uint8Array): string => {
      const path = join(newFolder('file'), name)
      writeFileSync(path, bytes)
      return path
    }
    await expectRefused(file('empty.gguf', ''), /\/empty\.gguf: file is empty$/)
    await expectRefused(file('model.bin', Buffer.from([0x80, 2, 0x63, 0x6f, 0x73])), /model\.bin|GGUF/)
    await expectRefused(file('lies.gguf', ggufBytes({ 'general.architecture': { type: 'string', value: 'llama' } }, []).fill(0xff, 8, 16)), /tensor/)
    const pickled = newFolder('model')
    writeTinyLlama(pickled)
    copyFileSync(join(pickled, 'model.safetensors'), join(pickled, 'pytorch_model.bin'))
    await rm(join(pickled, 'model.safetensors'))
    await expectRefused(pickled, /safetensors/)
  })

  const hostile = fixturesFolder('gguf', 'hostile')
  test('hostile GGUF files of the fixtures, every twelfth of them', { skip: hostile === null && 'no reference files (PERMAFROST_FIXTURES)' }, async () => {
    const { entries } = JSON.parse(readFileSync(join(hostile!, 'manifest.json'), 'utf8')) as { entries: Array<{ path: string, expect: string }> }
    for (const { path } of entries.filter(({ expect }) => expect === 'reject').filter((_, i) => i % 12 === 0)) await expectRefused(join(hostile!, path), /./)
  })
})
