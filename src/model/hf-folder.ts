/** A Hugging Face model folder: config.json, generation_config.json, and one safetensors file or an index of shards. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MalformedModelError } from '../errors.js'
import { hfLlamaConfig } from './hf-config.js'
import { scanJson } from './json-scan.js'
import { EMBEDDING, HEAD, llamaTensors } from './llama-tensors.js'
import { SafetensorsFile } from './safetensors-file.js'
import { floatFormat } from './safetensors.js'
import type { WeightSource } from './weight-source.js'

const WEIGHTS = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
// The largest index files in use have some 100 kB.
const MAX_JSON_BYTES = 16 * 1024 * 1024
const MAX_JSON_DEPTH = 32

export interface HfSource extends WeightSource {
  /** Names of the weight files inside the folder. */
  readonly files: readonly string[]
}

/** @throws MalformedModelError naming the file and the field or tensor */
export function openHfLlama (folder: string): HfSource {
  const { config: declared, warnings } = hfLlamaConfig(readJson(folder, 'config.json'), existsSync(join(folder, 'generation_config.json')) ? readJson(folder, 'generation_config.json') : null)
  const files = weightFiles(folder)
  const opened = new Map<string, SafetensorsFile>()
  const close = (): void => { for (const file of opened.values()) file.close() }
  try {
    for (const file of files.names) opened.set(file, openWeights(folder, file))
    const located = locate(opened, files.placed)
    const ownHead = declared.tiedEmbeddings && hasOwnHead(located)
    if (ownHead) warnings.push(`tie_word_embeddings is true, but ${HEAD} is not the embedding again: it is used, as transformers does`)
    const config = { ...declared, tiedEmbeddings: declared.tiedEmbeddings && !ownHead }
    const { places, unused } = resolveTensors(config, located)
    return {
      config, name: null, licence: null, files: files.names,
      warnings: [...warnings, ...unused.map(name => `unused tensor ${JSON.stringify(name)} is ignored`)],
      read (name) {
        const place = places.get(name)
        if (place === undefined) throw new Error(`internal: no tensor ${name}`)
        return place.file.read(place.stored)
      },
      close
    }
  } catch (error) {
    close()
    throw error
  }
}

/** A JSON object of bounded size and depth. */
export function readJson (folder: string, name: string): Readonly<Record<string, unknown>> {
  const path = join(folder, name)
  if (!existsSync(path)) throw new MalformedModelError(`${name} is missing`)
  const found = statSync(path)
  if (!found.isFile()) throw new MalformedModelError(`${name} is not a regular file`)
  const { size } = found
  if (size > MAX_JSON_BYTES) throw new MalformedModelError(`${name} has ${size} bytes, limit ${MAX_JSON_BYTES}`)
  const text = readFileSync(path, 'utf8')
  const { depth } = scanJson(text)
  if (depth > MAX_JSON_DEPTH) throw new MalformedModelError(`${name} is nested ${depth} levels deep, limit ${MAX_JSON_DEPTH}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new MalformedModelError(`${name} is not valid JSON`, { cause })
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new MalformedModelError(`${name} must be a JSON object`)
  return value as Record<string, unknown>
}

/** `placed`: which tensor the index puts into which file; null without an index. */
function weightFiles (folder: string): { names: readonly string[], placed: ReadonlyMap<string, string> | null } {
  if (existsSync(join(folder, WEIGHTS))) return { names: [WEIGHTS], placed: null }
  if (!existsSync(join(folder, INDEX))) {
    const pickle = ['pytorch_model.bin', 'pytorch_model.bin.index.json'].find(name => existsSync(join(folder, name)))
    if (pickle !== undefined) throw new MalformedModelError(`only a pickle checkpoint (${pickle}) is present; convert it to safetensors`)
    throw new MalformedModelError(`no ${WEIGHTS} and no ${INDEX}`)
  }
  const map = readJson(folder, INDEX)['weight_map']
  if (map === null || typeof map !== 'object' || Array.isArray(map)) throw new MalformedModelError(`${INDEX} has no weight_map`)
  const placed = new Map<string, string>()
  for (const [tensor, file] of Object.entries(map as Record<string, unknown>)) {
    if (typeof file !== 'string') throw new MalformedModelError(`${INDEX}: the shard of ${JSON.stringify(tensor)} must be a file name`)
    if (!/^[\w][\w.-]*\.safetensors$/.test(file)) throw new MalformedModelError(`${INDEX} names shard ${JSON.stringify(file)}, which is no safetensors file inside the model folder`)
    placed.set(tensor, file)
  }
  const names = [...new Set(placed.values())].sort()
  for (const file of names) {
    if (!existsSync(join(folder, file))) throw new MalformedModelError(`${INDEX} names shard ${file}, which does not exist`)
  }
  return { names, placed }
}

function openWeights (folder: string, file: string): SafetensorsFile {
  try {
    return new SafetensorsFile(join(folder, file))
  } catch (error) {
    throw error instanceof MalformedModelError ? new MalformedModelError(`${file}: ${error.message}`, { cause: error }) : error
  }
}

type Located = ReadonlyMap<string, SafetensorsFile>

function locate (opened: ReadonlyMap<string, SafetensorsFile>, placed: ReadonlyMap<string, string> | null): Located {
  const located = new Map<string, SafetensorsFile>()
  if (placed === null) {
    for (const file of opened.values()) for (const name of file.header.tensors.keys()) located.set(name, file)
    return located
  }
  for (const [name, shard] of placed) {
    const file = opened.get(shard)!
    if (!file.header.tensors.has(name)) throw new MalformedModelError(`${INDEX} places ${JSON.stringify(name)} in ${shard}, which lacks it`)
    located.set(name, file)
  }
  return located
}

const isBare = (located: Located): boolean => !located.has(EMBEDDING) && located.has(bareName(EMBEDDING))
const bareName = (name: string): string => name.replace(/^model\./, '')

/** Whether the weights have a head that differs from their embedding. */
function hasOwnHead (located: Located): boolean {
  const embedding = isBare(located) ? bareName(EMBEDDING) : EMBEDDING
  const [head, table] = [located.get(HEAD), located.get(embedding)]
  return head !== undefined && table !== undefined && !head.sameTensor(HEAD, table, embedding)
}

/** The hub also has checkpoints of the bare decoder, whose names lack `model.`. */
function resolveTensors (config: WeightSource['config'], located: Located): { places: ReadonlyMap<string, { stored: string, file: SafetensorsFile }>, unused: string[] } {
  const bare = isBare(located)
  const places = new Map<string, { stored: string, file: SafetensorsFile }>()
  const used = new Set<string>()
  for (const { name, shape } of llamaTensors(config)) {
    const own = bare ? bareName(name) : name
    // Tied weights may also be saved under the head's name alone.
    const stored = name === EMBEDDING && config.tiedEmbeddings && !located.has(own) && located.has(HEAD) ? HEAD : own
    const file = located.get(stored)
    const entry = file?.header.tensors.get(stored)
    if (file === undefined || entry === undefined) throw new MalformedModelError(`${own} is missing (config.json asks for ${config.numLayers} layers)`)
    floatFormat(stored, entry)
    if (entry.shape.join() !== shape.join()) {
      const rows = entry.shape.length === 2 && entry.shape[1] === shape[1] && shape[0] === config.vocabSize
      throw new MalformedModelError(rows
        ? `${stored} has ${entry.shape[0]} rows; config vocab_size is ${config.vocabSize}`
        : `${stored} has shape [${entry.shape.join(', ')}]; the configuration needs [${shape.join(', ')}]`)
    }
    places.set(name, { stored, file })
    used.add(stored)
  }
  // A tied head is the embedding again; the inverse frequencies follow from the configuration.
  const implied = (name: string): boolean => name.endsWith('rotary_emb.inv_freq') || (config.tiedEmbeddings && name === HEAD)
  return { places, unused: [...located.keys()].filter(name => !used.has(name) && !implied(name)) }
}
