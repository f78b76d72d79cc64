import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { BASE_FILES } from '../../src/model/base.js'
import type { Base } from '../../src/model/base.js'
import { importBase } from '../../src/model/import.js'
import type { ImportPhase } from '../../src/model/import.js'
import { rotateRows } from '../../src/model/rotate.js'
import { SafetensorsFile } from '../../src/model/safetensors-file.js'
import { maxDifference, relativeL2 } from '../support/numbers.js'
import { openSession } from '../support/ort.js'
import { fixturesFolder, sharedFolder } from '../support/shared.js'
import { Slots } from '../support/slots.js'
import { readTensors, writeTinyLlama } from '../support/tiny-llama.js'

const root = mkdtempSync(join(tmpdir(), 'permafrost-import-'))
after(() => { rmSync(root, { recursive: true }) })
let folders = 0
function freshFolder (): string {
  const folder = join(root, String(folders++))
  mkdirSync(folder)
  return folder
}

function tinyModel (seed: number, hiddenSize = 64): string {
  const folder = freshFolder()
  writeTinyLlama(folder, { seed, hiddenSize })
  return folder
}

/** Imports and lists the phases that were reported. */
async function imported (source: string, home: string): Promise<{ base: Base, phases: ImportPhase[] }> {
  const phases = new Set<ImportPhase>()
  const base = await importBase(source, home, phase => { phases.add(phase) })
  return { base, phases: [...phases] }
}

const ignore = (): void => {}
const basesOf = (home: string): string[] => readdirSync(join(home, 'bases')).filter(name => /^[0-9a-f]{64}$/.test(name))

async function logitsOf (base: Base, format: 'float32' | 'w8a8', ids: readonly number[], softTable?: Float32Array): Promise<Float32Array> {
  const session = await openSession(readFileSync(join(base.folder, BASE_FILES.serving[format])), base.folder, { prepack: true })
  try {
    const slots = new Slots(session, base.manifest.config, { slots: 1, positions: ids.length })
    return (await slots.run({ ids: [ids], lengths: [ids.length], ...(softTable === undefined ? {} : { softTable }) })).logits
  } finally {
    await session.release()
  }
}

interface ForwardCase { name: string, input_ids: number[] | number[][] }

/** Every recorded text at once, within the tolerance of the references. */
async function compareForward (base: Base, cases: string, tensors: string): Promise<void> {
  const recorded = readTensors(tensors)
  for (const { name, input_ids: ids } of JSON.parse(readFileSync(cases, 'utf8')).forward as ForwardCase[]) {
    const difference = maxDifference(await logitsOf(base, 'float32', ids.flat()), recorded.get(`${name}.logits`)!)
    assert.ok(difference <= 1e-4, `${name}: logits differ by ${difference}`)
  }
}

suite('importBase()', () => {
  test('fills a folder named by the digest', async () => {
    const home = freshFolder()
    const source = tinyModel(1)
    const { base, phases } = await imported(source, home)
    assert.deepEqual(phases, ['hash', 'weights', 'calibrate', 'quantise', 'write'])
    assert.equal(base.folder, join(home, 'bases', base.manifest.digest.slice('sha256:'.length)))
    assert.deepEqual(readdirSync(base.folder).sort(), [BASE_FILES.manifest, BASE_FILES.weights, BASE_FILES.tokenizer, BASE_FILES.w8a8Data, BASE_FILES.serving.float32, BASE_FILES.serving.w8a8, BASE_FILES.lanes].sort())
    const weights = new SafetensorsFile(join(base.folder, BASE_FILES.weights))
    assert.equal(Math.min(...[...weights.header.tensors.values()].map(({ offset }) => offset)), 4096)
    weights.close()
    assert.deepEqual(readTensors(join(base.folder, BASE_FILES.weights)), readTensors(join(source, 'model.safetensors')))
    assert.equal(base.manifest.serving.float32.rotation, null)
    assert.deepEqual({ ...base.manifest.serving.w8a8.rotation, seed: 0 }, { odd: 1, power: 64, seed: 0 })
    assert.match(base.manifest.name, /^[a-z0-9._-]+$/)
  })

  test('a source that did not change is neither read nor hashed again', async () => {
    const home = freshFolder()
    const source = tinyModel(2)
    const first = await imported(source, home)
    const again = await imported(source, home)
    assert.deepEqual(again.phases, [])
    assert.deepEqual(again.base, first.base)
  })

  test('the same bytes elsewhere are hashed, not imported', async () => {
    const home = freshFolder()
    const source = tinyModel(3)
    const { base } = await imported(source, home)
    const copy = freshFolder()
    for (const file of readdirSync(source)) copyFileSync(join(source, file), join(copy, file))
    const other = await imported(copy, home)
    assert.deepEqual(other.phases, ['hash'])
    assert.equal(other.base.folder, base.folder)
    utimesSync(join(source, 'model.safetensors'), 1, 1)
    assert.deepEqual((await imported(source, home)).phases, ['hash'])
  })

  test('the same weights have the same digests, other weights others', async () => {
    const [one, same, other] = [await imported(tinyModel(4), freshFolder()), await imported(tinyModel(4), freshFolder()), await imported(tinyModel(5), freshFolder())]
    assert.equal(one.base.manifest.digest, same.base.manifest.digest)
    assert.deepEqual(one.base.manifest.serving, same.base.manifest.serving)
    assert.notEqual(one.base.manifest.digest, other.base.manifest.digest)
    assert.notEqual(one.base.manifest.serving.w8a8.digest, other.base.manifest.serving.w8a8.digest)
  })

  test('two imports at once end in one folder', async () => {
    const home = freshFolder()
    const source = tinyModel(6)
    const [a, b] = await Promise.all([importBase(source, home, ignore), importBase(source, home, ignore)])
    assert.equal(a.folder, b.folder)
    assert.deepEqual(basesOf(home).length, 1)
    assert.deepEqual(readdirSync(join(home, 'bases')).filter(name => name.endsWith('.unfinished')), [])
  })

  test('a base folder that cannot be opened is made anew, a damaged index is no obstacle', async () => {
    const home = freshFolder()
    const source = tinyModel(7)
    const { base } = await imported(source, home)
    writeFileSync(join(base.folder, BASE_FILES.manifest), '{')
    const repaired = await imported(source, home)
    assert.deepEqual(repaired.base, base)
    writeFileSync(join(home, 'bases', 'index.json'), 'no json')
    assert.deepEqual((await imported(source, home)).base, base)
  })

  test('a base that an older version imported otherwise is replaced', async () => {
    const home = freshFolder()
    const source = tinyModel(10)
    const { base } = await imported(source, home)
    const float32 = { ...base.manifest.serving.float32, digest: `sha256:${'0'.repeat(64)}` }
    writeFileSync(join(base.folder, BASE_FILES.manifest), JSON.stringify({ ...base.manifest, serving: { ...base.manifest.serving, float32 } }))
    rmSync(join(home, 'bases', 'index.json'))
    assert.deepEqual((await imported(source, home)).base, base)
    assert.deepEqual(readdirSync(join(home, 'bases')).length, 2)
  })

  test('what a killed import left is swept after an hour, a refused model leaves nothing', async () => {
    const home = freshFolder()
    const [old, young] = [join(home, 'bases', '.old.unfinished'), join(home, 'bases', '.young.unfinished')]
    for (const folder of [old, young]) mkdirSync(folder, { recursive: true })
    const twoHoursAgo = Date.now() / 1000 - 7200
    utimesSync(old, twoHoursAgo, twoHoursAgo)
    const source = tinyModel(8)
    // The last value of the last tensor, found only when the rest has been written.
    const file = readFileSync(join(source, 'model.safetensors'))
    file.writeFloatLE(NaN, file.length - 4)
    writeFileSync(join(source, 'model.safetensors'), file)
    await assert.rejects(importBase(source, home, ignore), (error: unknown) => error instanceof MalformedModelError && /lm_head\.weight contains 1 value that is not finite \(NaN at index/.test(error.message))
    assert.deepEqual(readdirSync(join(home, 'bases')), ['.young.unfinished'])
  })

  test('an absent source is named', async () => {
    await assert.rejects(importBase(join(root, 'nothing.gguf'), freshFolder(), ignore), /nothing\.gguf does not exist/)
  })

  for (const hiddenSize of [64, 72]) {
    test(`W8A8 of width ${hiddenSize} follows float32, soft prompts rotated`, async () => {
      const { base } = await imported(tinyModel(9, hiddenSize), freshFolder())
      const { config, serving } = base.manifest
      const soft = Float32Array.from({ length: 2 * hiddenSize }, (_, i) => Math.sin(i * i))
      const ids = [config.vocabSize, config.vocabSize + 1, 5, 80, 200, 31, 7, 300]
      const exact = await logitsOf(base, 'float32', ids, soft)
      const int8 = await logitsOf(base, 'w8a8', ids, rotateRows(soft, hiddenSize, serving.w8a8.rotation!))
      const difference = relativeL2(int8, exact)
      assert.ok(difference < 0.05, `relative difference ${difference}`)
    })
  }

  const gguf = fixturesFolder('gguf', 'tiny-llama')
  const models = gguf === null ? [] : readdirSync(gguf).filter(name => name.endsWith('.gguf')).map(name => basename(name, '.gguf'))
  test('there are GGUF models', { skip: gguf === null && 'no reference numbers (PERMAFROST_FIXTURES)' }, () => assert.ok(models.length > 0))
  for (const model of models) {
    test(`${model}.gguf: float32 logits as transformers`, async () => {
      const { base } = await imported(`${gguf}/${model}.gguf`, freshFolder())
      await compareForward(base, `${gguf}/${model}.json`, `${gguf}/${model}.safetensors`)
    })
  }

  const stories = sharedFolder('models', 'stories260K')
  test('stories260K: float32 logits as transformers', { skip: stories === null && 'no shared models (PERMAFROST_SHARED)' }, async () => {
    const { base } = await imported(stories!, freshFolder())
    assert.equal(base.manifest.addsBos, true)
    assert.deepEqual(base.manifest.config.eosTokenIds, [2, 1])
    assert.equal(base.manifest.serving.w8a8.attention, 'plain')
    await compareForward(base, join(stories!, 'reference.json'), join(stories!, 'reference.safetensors'))
  })
})
