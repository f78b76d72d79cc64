/** `gguf/tiny-llama/*`: each file through the reader, the import, the tokenizer, the chat template and the service. */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BASE_FILES } from '../../src/model/base.js'
import { readRange } from '../../src/model/byte-reader.js'
import { ChatTemplate, type ChatMessage } from '../../src/model/chat-template.js'
import { dequantise } from '../../src/model/dequantise.js'
import { readGguf } from '../../src/model/gguf.js'
import { defaultFrequencies, divideFrequencies, linearScaling } from '../../src/model/rope-frequencies.js'
import { maxDifference } from '../../test/support/numbers.js'
import { readJson, readTensors, sameList, tensor } from './fixture-files.js'
import { compareGeneration, LOGITS_TOLERANCE, type RecordedGeneration } from './generated.js'
import { compareContainer, compareMetadata, type RecordedContainer, type RecordedValue } from './gguf-metadata.js'
import { sha256 } from './gguf-types.js'
import type { Checks } from './ledger.js'
import { ServedBase } from './served-base.js'
import { compareTokenizer, type TokenizerCase } from './tokenizer-cases.js'

interface RecordedTensor { readonly name: string, readonly type: string, readonly shape: readonly number[], readonly offset: number, readonly bytes: number, readonly hf_name: string | null, readonly f32_sha256: string, readonly hf_f32_sha256: string | null }

interface RecordedModel {
  readonly container: RecordedContainer
  readonly metadata: Readonly<Record<string, RecordedValue>>
  readonly config: Readonly<Record<string, unknown>>
  readonly tensors: readonly RecordedTensor[]
  readonly tokenizer: { readonly add_bos: boolean, readonly cases: readonly TokenizerCase[] }
  readonly chat_template: null | { readonly cases: ReadonlyArray<{ messages: ChatMessage[], add_generation_prompt: boolean, text: string, ids_no_special: number[] }> }
  readonly forward: ReadonlyArray<{ name: string, input_ids: number[] }>
  readonly greedy: ReadonlyArray<RecordedGeneration & { input_ids: number[] }>
}

const KNOWN = ['file', 'note', 'container', 'metadata', 'config', 'tensors', 'tokenizer', 'chat_template', 'forward', 'greedy', 'verification']

/** @param stem of `stem.gguf`, `stem.json` and `stem.safetensors` @param home takes the imported base */
export async function ggufModel (checks: Checks, folder: string, stem: string, home: string): Promise<void> {
  const path = join(folder, `${stem}.gguf`)
  const recorded = readJson<RecordedModel>(folder, `${stem}.json`)
  for (const key of Object.keys(recorded).filter(key => !KNOWN.includes(key))) checks.fail(key, 'a reference of a kind that no check here reads')
  const gguf = readGguf(path)
  compareContainer(checks, path, gguf, recorded.container)
  compareMetadata(checks, gguf, recorded.metadata)
  compareFileTensors(checks, path, recorded.tensors)
  const served = await ServedBase.open(path, home)
  try {
    compareImport(checks, served, recorded)
    compareTokenizer(checks, served.tokenizer, recorded.tokenizer.cases)
    await checks.attempt('chat template', async () => await compareChatTemplate(checks, served, recorded))
    const logits = readTensors(folder, `${stem}.safetensors`)
    for (const { name, input_ids: ids } of recorded.forward) {
      checks.within('forward logits', name, maxDifference(await served.logits(ids), tensor(logits, `${name}.logits`).values), LOGITS_TOLERANCE)
    }
    for (const [i, one] of recorded.greedy.entries()) {
      compareGeneration(checks, `greedy ${i}`, served, await served.greedy(one.input_ids, one.ids.length), one)
    }
  } finally {
    await served.close()
  }
}

/** Values as they stand in the file, before Q and K are put in Hugging Face's row order. */
function compareFileTensors (checks: Checks, path: string, recorded: readonly RecordedTensor[]): void {
  const { tensors } = readGguf(path)
  const fd = openSync(path, 'r')
  try {
    for (const { name, type, shape, offset, bytes, f32_sha256: digest } of recorded) {
      const found = tensors.get(name)
      checks.equal('tensors of the file: type, shape, place', name, found !== undefined && found.type === type && sameList(found.shape, shape) && found.offset === offset && found.bytes === bytes)
      if (found !== undefined) checks.equal('tensors of the file: float32 values', name, sha256(dequantise(readRange(fd, found.offset, found.bytes), found.type)) === digest)
    }
  } finally {
    closeSync(fd)
  }
}

function compareImport (checks: Checks, { base }: ServedBase, recorded: RecordedModel): void {
  const stored = readTensors(base.folder, BASE_FILES.weights)
  const named = recorded.tensors.filter(({ hf_name: name }) => name !== null)
  checks.equal('imported tensors: names', [...stored.keys()].join(), sameList([...stored.keys()].sort(), named.map(({ hf_name: name }) => name).sort()))
  for (const { hf_name: name, hf_f32_sha256: digest } of named) {
    const values = stored.get(name!)?.values
    checks.equal('imported tensors: float32 values in Hugging Face row order', name!, values !== undefined && sha256(values) === digest)
  }
  const { config, addsBos } = base.manifest
  checks.equal('imported configuration', 'begin-of-text in front', addsBos === recorded.tokenizer.add_bos)
  for (const [field, [own, expected]] of Object.entries(configFields(config, recorded.config))) {
    checks.equal('imported configuration', `${field} ${JSON.stringify(own)}`, JSON.stringify(own) === JSON.stringify(expected))
  }
}

function configFields (config: ServedBase['base']['manifest']['config'], expected: Readonly<Record<string, unknown>>): Record<string, [own: unknown, expected: unknown]> {
  const number = (name: string): number => Number(expected[name])
  const scaling = expected['rope_scaling'] as null | { rope_freqs?: number[], factor?: unknown }
  const plain = defaultFrequencies(number('head_dim'), number('rope_theta'))
  // Recorded are the numbers of the file; the product keeps the frequencies that follow from them.
  const frequencies = scaling?.rope_freqs !== undefined ? divideFrequencies(plain, Float32Array.from(scaling.rope_freqs)) : typeof scaling?.factor === 'number' ? linearScaling(plain, scaling.factor) : scaling === null ? plain : `rope_scaling ${JSON.stringify(scaling)}`
  return {
    hidden_size: [config.hiddenSize, expected['hidden_size']],
    intermediate_size: [config.intermediateSize, expected['intermediate_size']],
    num_hidden_layers: [config.numLayers, expected['num_hidden_layers']],
    num_attention_heads: [config.numHeads, expected['num_attention_heads']],
    num_key_value_heads: [config.numKvHeads, expected['num_key_value_heads']],
    head_dim: [config.headSize, expected['head_dim']],
    max_position_embeddings: [config.contextLength, expected['max_position_embeddings']],
    rms_norm_eps: [Math.fround(config.rmsNormEps), Math.fround(number('rms_norm_eps'))],
    rope: [config.ropeInverseFrequencies, frequencies],
    tie_word_embeddings: [config.tiedEmbeddings, expected['tie_word_embeddings']],
    vocab_size: [config.vocabSize, expected['vocab_size']],
    bos_token_id: [config.bosTokenId, expected['bos_token_id']],
    eos_token_id: [config.eosTokenIds[0], [expected['eos_token_id']].flat()[0]]
  }
}

async function compareChatTemplate (checks: Checks, { base, tokenizer }: ServedBase, { chat_template: recorded }: RecordedModel): Promise<void> {
  const { hasChatTemplate, config } = base.manifest
  checks.equal('chat template', 'presence', hasChatTemplate === (recorded !== null))
  if (recorded === null || !hasChatTemplate) return
  const template = new ChatTemplate(readFileSync(join(base.folder, BASE_FILES.chatTemplate), 'utf8'))
  const marker = (id: number | null | undefined): string => id === null || id === undefined ? '' : tokenizer.piece(id)
  try {
    for (const [i, { messages, add_generation_prompt: addGenerationPrompt, text, ids_no_special: ids }] of recorded.cases.entries()) {
      const rendered = await template.render(messages, { addGenerationPrompt, bosToken: marker(config.bosTokenId), eosToken: marker(config.eosTokenIds[0]) })
      checks.equal('chat template', `text ${i}`, rendered === text)
      checks.equal('chat template', `ids ${i}`, sameList(tokenizer.encode(rendered, { addSpecial: false, parseSpecial: true }), ids))
    }
  } finally {
    template.close()
  }
}
