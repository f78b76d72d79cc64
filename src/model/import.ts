/** A model file or folder in, a base folder out (`base.ts` says what it holds). */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { rm, stat, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { canonicalJson, digestOf, hexOf } from '../digest.js'
import type { Digest } from '../digest.js'
import { MalformedModelError } from '../errors.js'
import { isOfNewerSchema, SCHEMA } from '../schema.js'
import { BASE_FILES, openBase } from './base.js'
import type { Base, BaseManifest, ServingGraph } from './base.js'
import { type FileStamp, readBaseIndex, rememberSource, sameFiles, stampsOf } from './base-index.js'
import { tokenizerFromJson } from './bpe-tokenizer.js'
import { downInputMaxima } from './calibrate.js'
import { CALIBRATION_TEXT } from './calibration-text.js'
import { basesFolder } from './current-base.js'
import { beginFolder, finishFolder } from './durable-folder.js'
import { lanesGraph, servingGraph } from './families/llama-serving.js'
import { openGgufLlama } from './gguf-llama.js'
import { openHfLlama } from './hf-folder.js'
import { tokenizerFromFolder } from './hf-tokenizer.js'
import { rotationPlan } from './rotate.js'
import type { RotationPlan } from './rotate.js'
import { SafetensorsFile } from './safetensors-file.js'
import { storeInt8 } from './stored-int8.js'
import { storeWeights, storedWeights } from './stored-weights.js'
import { tokenizerFromGguf } from './tokenizer-gguf.js'
import type { ImportedTokenizer } from './tokenizer-gguf.js'
import type { WeightSource } from './weight-source.js'

export const IMPORT_PHASES = ['hash', 'weights', 'calibrate', 'quantise', 'write'] as const
export type ImportPhase = typeof IMPORT_PHASES[number]
/** `done` of `total` in units of the phase (bytes, layers); phases come in order and each ends with done = total. */
export type ImportProgress = (phase: ImportPhase, done: number, total: number) => void

// Of the signs of the rotation; any number does.
const ROTATION_SEED = 20_240_401
// Rotary tables are constants of the serving graph; no slot is longer.
const MAX_SERVING_POSITIONS = 131_072

interface OpenedModel { readonly source: WeightSource, readonly tokenizer: ImportedTokenizer }

/**
 * Imports a GGUF file or a Hugging Face folder of the Llama family once; known sources are opened in milliseconds.
 * Safe to run in several processes and to kill at any moment: a base folder appears complete or not at all.
 * @throws MalformedModelError when the model cannot be served, naming the source and its key, tensor or field; newer_schema
 */
export async function importBase (source: string, home: string, progress: ImportProgress): Promise<Base> {
  const path = resolve(source)
  try {
    return await importOnce(path, basesFolder(home), progress)
  } catch (error) {
    // The readers know what they read, not where it came from.
    if (!(error instanceof MalformedModelError) || error.message.startsWith(path)) throw error
    throw new MalformedModelError(`${path}: ${error.message}`, { cause: error })
  }
}

async function importOnce (path: string, bases: string, progress: ImportProgress): Promise<Base> {
  const stamps = await stampsOf(await filesOf(path))
  const known = await readBaseIndex(bases)
  const seen = known.find(entry => sameFiles(entry.files, stamps))
  const opened = seen === undefined ? null : await openIfPresent(join(bases, hexOf(seen.base)))
  if (opened !== null) return opened

  const sourceDigest = await digestOfFiles(stamps, progress)
  const sameBytes = known.find(entry => entry.source === sourceDigest)
  const base = (sameBytes === undefined ? null : await openIfPresent(join(bases, hexOf(sameBytes.base)))) ??
    await importModel(path, bases, { file: basename(path), bytes: bytesOf(stamps), digest: sourceDigest }, progress)
  await rememberSource(bases, { files: stamps, source: sourceDigest, base: base.manifest.digest })
  return base
}

/** What is damaged is imported anew. @throws newer_schema: what a newer version made stays as it is */
async function openIfPresent (folder: string): Promise<Base | null> {
  try {
    return await openBase(folder)
  } catch (error) {
    if (isOfNewerSchema(error)) throw error
    return null
  }
}

/** The files whose bytes make the base. */
async function filesOf (path: string): Promise<readonly string[]> {
  const found = await stat(path).catch((cause: unknown) => { throw new MalformedModelError(`${path} does not exist`, { cause }) })
  if (!found.isDirectory()) return [path]
  const source = openHfLlama(path)
  source.close()
  const optional = ['generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'].filter(name => existsSync(join(path, name)))
  return ['config.json', ...optional, ...source.files].map(name => join(path, name))
}

const bytesOf = (stamps: readonly FileStamp[]): number => stamps.reduce((sum, { bytes }) => sum + bytes, 0)

/** Of the bytes of a single file; of the names and digests of several. */
async function digestOfFiles (stamps: readonly FileStamp[], progress: ImportProgress): Promise<Digest> {
  const total = bytesOf(stamps)
  let done = 0
  const digests: Array<[string, Digest]> = []
  for (const { path } of stamps) {
    const hash = createHash('sha256')
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
      hash.update(chunk as Buffer)
      progress('hash', done += (chunk as Buffer).length, total)
    }
    digests.push([basename(path), `sha256:${hash.digest('hex')}`])
  }
  return digests.length === 1 ? digests[0]![1] : digestOf(canonicalJson(digests))
}

async function importModel (path: string, bases: string, source: BaseManifest['source'], progress: ImportProgress): Promise<Base> {
  const isFolder = (await stat(path)).isDirectory()
  const model = isFolder ? openFolder(path) : openFile(path)
  const folder = await beginFolder(bases)
  try {
    const manifest = await fillFolder(folder, model, { source, name: nameOf(path, model.source) }, progress)
    const final = join(bases, hexOf(manifest.digest))
    // One of an older version serves other graphs under the same weights: it makes room.
    await finishFolder(folder, final, async existing => {
      const old = await openIfPresent(existing)
      return old !== null && canonicalJson(old.manifest.serving) === canonicalJson(manifest.serving)
    })
    progress('write', 1, 1)
    return await openBase(final)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  } finally {
    model.source.close()
  }
}

function openFile (path: string): OpenedModel {
  const source = openGgufLlama(path)
  try {
    return { source, tokenizer: tokenizerFromGguf(source.gguf.metadata) }
  } catch (error) {
    source.close()
    throw error
  }
}

function openFolder (path: string): OpenedModel {
  const source = openHfLlama(path)
  try {
    return { source, tokenizer: tokenizerFromFolder(path, source.config.vocabSize) }
  } catch (error) {
    source.close()
    throw error
  }
}

/** A file's name without what its number format adds: `general.name` of GGUF files is often the name of a training run. */
function nameOf (path: string, { name }: WeightSource): string {
  const file = basename(path).replace(/\.gguf$/i, '').replace(/[.-](?:(?:i?q\d|tq\d)[a-z0-9_]*|b?f16|f32|fp16|fp32)$/i, '')
  return plainName(file) || plainName(name ?? '') || 'base'
}

function plainName (text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9._-]+/g, '-').replace(/^[-.]+|[-.]+$/g, '').slice(0, 64)
}

async function fillFolder (folder: string, { source, tokenizer }: OpenedModel, { source: origin, name }: Pick<BaseManifest, 'source' | 'name'>, progress: ImportProgress): Promise<BaseManifest> {
  const { config } = source
  const write = (file: string, data: string | Uint8Array): Promise<void> => writeFile(join(folder, file), data, { flag: 'wx' })
  const tokenizerText = JSON.stringify(tokenizer.tokenizerJson)
  await write(BASE_FILES.tokenizer, tokenizerText)
  if (tokenizer.chatTemplate !== null) await write(BASE_FILES.chatTemplate, tokenizer.chatTemplate)
  const weightsDigest = await storeWeights(source, folder, (done, total) => { progress('weights', done, total) })

  progress('calibrate', 0, 1)
  const ids = tokenizerFromJson(tokenizer.tokenizerJson).encode(CALIBRATION_TEXT)
  const maxima = await downInputMaxima(config, folder, ids)
  progress('calibrate', 1, 1)

  const attention = config.headSize % 16 === 0 ? 'fused' : 'plain'
  const maxPositions = Math.min(config.contextLength, MAX_SERVING_POSITIONS)
  const rotation = rotationPlan(config.hiddenSize, ROTATION_SEED)
  const stored = new SafetensorsFile(join(folder, BASE_FILES.weights))
  const int8 = await storeInt8({ config, read: tensor => stored.read(tensor) }, rotation, maxima, folder, (done, total) => { progress('quantise', done, total) })
    .finally(() => { stored.close() })
  const hasLanes = attention === 'fused'
  if (hasLanes) await write(BASE_FILES.lanes, lanesGraph(config, maxPositions, int8.weights))
  const serving = async (file: string, graph: Uint8Array, data: Digest, plan: RotationPlan | null): Promise<ServingGraph> => {
    await write(file, graph)
    return { digest: digestOf(canonicalJson({ graph: digestOf(graph), data, rotation: plan })), rotation: plan, attention }
  }
  const manifest: BaseManifest = {
    schema: SCHEMA,
    digest: digestOf(canonicalJson({ config, weights: weightsDigest, tokenizer: digestOf(tokenizerText), chatTemplate: tokenizer.chatTemplate })),
    name,
    licence: source.licence,
    source: origin,
    config,
    addsBos: tokenizer.addsBos,
    hasChatTemplate: tokenizer.chatTemplate !== null,
    serving: {
      float32: await serving(BASE_FILES.serving.float32, servingGraph({ config, attention, maxPositions, format: 'float32', weights: storedWeights(config) }), weightsDigest, null),
      w8a8: {
        ...await serving(BASE_FILES.serving.w8a8, servingGraph({ config, attention, maxPositions, format: 'w8a8', weights: int8.weights }), int8.digest, rotation),
        lanes: hasLanes
      }
    },
    warnings: [...source.warnings, ...tokenizer.warnings]
  }
  await write(BASE_FILES.manifest, JSON.stringify(manifest, null, 2))
  return manifest
}
