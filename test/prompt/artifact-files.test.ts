import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { ServiceError, type ErrorCode } from '../../src/errors.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'
import { encodeSafetensors } from '../../src/model/safetensors-writer.js'
import { artifactDigest } from '../../src/prompt/artifact-digest.js'
import { readArtifact, writeArtifact } from '../../src/prompt/artifact-files.js'
import { ARTIFACT_FILES, type ArtifactFiles, type PromptManifest, type SoftPrompt } from '../../src/prompt/artifact.js'
import { chooseLabels } from '../../src/prompt/verbalizer.js'
import { testTokenizer } from '../support/tokenizer.js'

const CONFIG: LlamaConfig = {
  family: 'llama', vocabSize: 344, hiddenSize: 8, numLayers: 2, numHeads: 4, numKvHeads: 2, headSize: 2, intermediateSize: 16, rmsNormEps: 1e-5,
  ropeInverseFrequencies: [1], contextLength: 64, tiedEmbeddings: true, bosTokenId: 341, eosTokenIds: [342]
}
const BASE = digestOf('a base')
const EXPECTED = { base: BASE, config: CONFIG }

function manifest (changes: Partial<PromptManifest> = {}): PromptManifest {
  return {
    schema: 1, base: BASE, method: 'prefix-tuning', numVirtualTokens: 3,
    task: { kind: 'classification', template: '{input}\nLabel:', verbalizer: { type: 'vectors', labels: chooseLabels(['good', 'bad'], testTokenizer()) } },
    recipe: { learning_rate: 5e-3 }, data: { training: digestOf('rows'), validation: null, rows: 10 }, metrics: { accuracy: 0.5 }, seed: 1, job: 'job_1', createdAt: '2026-01-01T00:00:00.000Z',
    ...changes
  }
}

function ramp (length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.fround(i / 7 - 1))
}

const PREFIX: SoftPrompt = { manifest: manifest(), embeddings: ramp(3 * 16), labelVectors: ramp(2 * 8) }
const PROMPT: SoftPrompt = {
  manifest: manifest({ method: 'prompt-tuning', task: { kind: 'generation', template: '{input}\n', verbalizer: null } }), embeddings: ramp(3 * 8), labelVectors: null
}

function written (prompt: SoftPrompt = PREFIX): Map<string, Uint8Array> {
  return new Map(writeArtifact(prompt, { name: 'tiny', config: CONFIG }))
}

function jsonOf (files: ArtifactFiles, name: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(files.get(name)!).toString()) as Record<string, unknown>
}

/** A good artifact with one file replaced (undefined: removed). */
function damaged (name: string, bytes: Uint8Array | undefined, prompt: SoftPrompt = PREFIX): ArtifactFiles {
  const files = written(prompt)
  if (bytes === undefined) files.delete(name)
  else files.set(name, bytes)
  return files
}

function withManifest (changes: Record<string, unknown>, prompt: SoftPrompt = PREFIX): ArtifactFiles {
  return damaged(ARTIFACT_FILES.manifest, Buffer.from(JSON.stringify({ ...prompt.manifest, ...changes })), prompt)
}

function tensor (name: string, shape: number[], values: Float32Array): Uint8Array {
  return encodeSafetensors(new Map([[name, { shape, values }]]))
}

function refuses (files: ArtifactFiles, code: ErrorCode, message: RegExp, param?: string): void {
  assert.throws(() => readArtifact(files, EXPECTED), (error: unknown) => {
    assert.ok(error instanceof ServiceError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    if (param !== undefined) assert.equal(error.param, param)
    return true
  })
}

suite('artifact files', () => {
  test('come back as they were, bit for bit', () => {
    for (const prompt of [PREFIX, PROMPT]) assert.deepEqual(readArtifact(written(prompt), EXPECTED), prompt)
  })

  test('are the same bytes for equal prompts, whatever the order of keys', () => {
    const shuffled = { ...PREFIX, manifest: Object.fromEntries(Object.entries(PREFIX.manifest).toReversed()) as PromptManifest }
    assert.deepEqual(written(shuffled), written())
    assert.equal(artifactDigest(written(shuffled)), artifactDigest(written()))
    assert.notEqual(artifactDigest(written(PROMPT)), artifactDigest(written()))
  })

  test('are a PEFT folder', () => {
    assert.deepEqual(jsonOf(written(), ARTIFACT_FILES.adapterConfig), {
      auto_mapping: null, base_model_name_or_path: 'tiny', encoder_hidden_size: 4, inference_mode: true, init_weights: null, modules_to_save: null, num_attention_heads: 2,
      num_layers: 2, num_transformer_submodules: 1, num_virtual_tokens: 3, peft_type: 'PREFIX_TUNING', peft_version: '0.21.0', prefix_projection: false, revision: null,
      task_type: 'CAUSAL_LM', token_dim: 4
    })
    const config = jsonOf(written(PROMPT), ARTIFACT_FILES.adapterConfig)
    assert.deepEqual([config['peft_type'], config['token_dim'], config['num_attention_heads'], config['prompt_tuning_init']], ['PROMPT_TUNING', 8, 4, 'RANDOM'])
    assert.deepEqual([...written(PROMPT).keys()], [ARTIFACT_FILES.adapterConfig, ARTIFACT_FILES.adapter, ARTIFACT_FILES.manifest])
  })

  test('of another base name both', () => {
    const other = digestOf('another base')
    refuses(withManifest({ base: other }), 'wrong_base', new RegExp(`${other}.*${BASE}`), 'base')
  })

  test('of a task with an output say the schema that older versions refuse, and come back with it', () => {
    const task = { ...PROMPT.manifest.task, output: { choices: ['yes', 'no'] } }
    const prompt = { ...PROMPT, manifest: { ...PROMPT.manifest, task, schema: 2 as const } }
    assert.deepEqual(readArtifact(written(prompt), EXPECTED), prompt)
    refuses(withManifest({ schema: 1 }, prompt), 'malformed_artifact', /schema: 1 is not that of a task with an output/)
    refuses(withManifest({ task: { ...task, output: { choices: ['yes'], regex: 'a' } } }, prompt), 'malformed_artifact', /exactly one/)
    refuses(withManifest({ schema: 2, task: { ...PREFIX.manifest.task, output: task.output } }), 'malformed_artifact', /a classification has no output/)
  })

  test('with a number that is not finite name the tensor', () => {
    const values = ramp(48)
    values[17] = NaN
    refuses(damaged(ARTIFACT_FILES.adapter, tensor('prompt_embeddings', [3, 16], values)), 'not_finite', /1 value that is not finite \(NaN at row 1, column 1\)/, 'prompt_embeddings')
    const vectors = ramp(16)
    vectors.fill(Infinity, 8)
    refuses(damaged(ARTIFACT_FILES.labelVectors, tensor('label_vectors', [2, 8], vectors)), 'not_finite', /8 values that are/, 'label_vectors')
  })

  test('that contradict each other or the base are refused', () => {
    refuses(withManifest({ numVirtualTokens: 4 }), 'malformed_artifact', /says numVirtualTokens 4, adapter_config.json says 3/)
    refuses(withManifest({ method: 'prompt-tuning' }), 'malformed_artifact', /says method prompt-tuning/)
    refuses(damaged(ARTIFACT_FILES.adapter, tensor('prompt_embeddings', [3, 8], ramp(24))), 'malformed_artifact', /8 columns; 2 layers \* 2 \* 4 = 16/)
    refuses(damaged(ARTIFACT_FILES.adapter, tensor('prompt_embeddings', [2, 16], ramp(32))), 'malformed_artifact', /2 rows, num_virtual_tokens is 3/)
    refuses(damaged(ARTIFACT_FILES.adapter, tensor('other', [3, 16], ramp(48))), 'malformed_artifact', /no tensor prompt_embeddings/)
    refuses(damaged(ARTIFACT_FILES.labelVectors, tensor('label_vectors', [3, 8], ramp(24))), 'malformed_artifact', /\[3, 8\]; \[2, 8\] is needed/)
    refuses(damaged(ARTIFACT_FILES.labelVectors, tensor('label_vectors', [2, 8], ramp(16)), PROMPT), 'malformed_artifact', /belongs to a verbalizer of vectors/)
    refuses(withManifest({ task: { ...PREFIX.manifest.task, verbalizer: null } }), 'malformed_artifact', /classification task needs a verbalizer/)
    refuses(withManifest({ task: { ...PREFIX.manifest.task, template: '{' } }), 'malformed_artifact', /not closed/)
  })

  test('that are missing, strange or no safetensors are refused by name', () => {
    for (const name of [ARTIFACT_FILES.adapterConfig, ARTIFACT_FILES.adapter, ARTIFACT_FILES.labelVectors, ARTIFACT_FILES.manifest]) {
      refuses(damaged(name, undefined), 'malformed_artifact', /is missing/, name)
      refuses(damaged(name, new Uint8Array()), 'malformed_artifact', /./, name)
    }
    refuses(damaged('extra.bin', new Uint8Array(4)), 'malformed_artifact', /"extra.bin" is no file of an artifact/)
    refuses(damaged(ARTIFACT_FILES.manifest, Buffer.from('{')), 'malformed_artifact', /not valid JSON/)
    refuses(withManifest({ createdAt: 5 }), 'malformed_artifact', /createdAt/)
    refuses(damaged(ARTIFACT_FILES.adapter, Uint8Array.of(0x80, 2, 0x63, 0x6f, 0x73)), 'malformed_artifact', /is a pickle/)
    refuses(damaged(ARTIFACT_FILES.adapter, Uint8Array.of(0x50, 0x4b, 3, 4)), 'malformed_artifact', /is a pickle or an archive/)
  })

  test('are never written from a prompt that is wrong', () => {
    assert.throws(() => written({ ...PREFIX, embeddings: ramp(47) }), /internal/)
    assert.throws(() => written({ ...PREFIX, embeddings: ramp(48).fill(NaN, 5, 6) }), /internal/)
    assert.throws(() => written({ ...PREFIX, labelVectors: null }), /internal/)
    assert.throws(() => written({ ...PREFIX, manifest: manifest({ metrics: { accuracy: NaN } }) }), /internal/)
  })
})
