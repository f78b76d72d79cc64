/**
 * A training state as one safetensors file: tensors as they are, numbers as JSON in its metadata. One put is atomic, so
 * a worker that dies while saving leaves the older checkpoint.
 */
import { digestOf, canonicalJson } from '../src/digest.js'
import { encodeSafetensors } from '../src/model/safetensors-writer.js'
import { floatValues, parseSafetensors } from '../src/model/safetensors.js'
import { checkpointPrefix } from '../src/registry/store/object-keys.js'
import type { ObjectStore } from '../src/registry/store/object-store.js'
import { refuseNewerSchema, SCHEMA } from '../src/schema.js'
import type { TrainingJobData } from '../src/training/job.js'
import type { DivergenceState } from './divergence.js'
import type { Parameter } from './parameter.js'
import type { Metrics } from './training-model.js'
import { createOptimizer, type TrainingState } from './training-state.js'

interface Header {
  readonly schema: number
  /** Digest of the job's data: a checkpoint continues its own job only. */
  readonly job: string
  readonly step: number
  readonly evaluatedStep: number
  readonly evaluationsWithoutGain: number
  readonly divergence: DivergenceState
  readonly best: { readonly step: number, readonly metrics: Metrics } | null
  readonly parameters: ReadonlyArray<Pick<Parameter, 'name' | 'dims'>>
  readonly updates: readonly number[]
}

type Tensors = Map<string, { shape: readonly number[], values: Float32Array }>

export function encodeCheckpoint (data: TrainingJobData, state: TrainingState): Uint8Array {
  const tensors: Tensors = new Map()
  state.parameters.forEach(({ name, dims, values }, i) => {
    tensors.set(name, { shape: dims, values })
    for (const [moment, numbers] of Object.entries(state.optimizers[i]!.state.moments)) {
      tensors.set(`${name}.${moment}`, { shape: [numbers.length], values: numbers })
    }
    if (state.best !== null) tensors.set(`best.${name}`, { shape: dims, values: state.best.values[i]! })
  })
  const header: Header = {
    schema: SCHEMA,
    job: digestOf(canonicalJson(data)),
    step: state.step,
    evaluatedStep: state.evaluatedStep,
    evaluationsWithoutGain: state.evaluationsWithoutGain,
    divergence: state.divergence,
    best: state.best === null ? null : { step: state.best.step, metrics: state.best.metrics },
    parameters: state.parameters.map(({ name, dims }) => ({ name, dims })),
    updates: state.optimizers.map(optimizer => optimizer.state.updates)
  }
  return encodeSafetensors(tensors, { permafrost: JSON.stringify(header) })
}

/** Null when the bytes are a checkpoint of something else: the job then starts anew. @throws MalformedModelError, newer_schema */
export function decodeCheckpoint (data: TrainingJobData, bytes: Uint8Array): TrainingState | null {
  const { tensors, metadata } = parseSafetensors(bytes)
  const header = JSON.parse(metadata.get('permafrost') ?? '{}') as Header
  refuseNewerSchema(`the checkpoint of job ${data.job}`, header.schema)
  if (header.schema !== SCHEMA || header.job !== digestOf(canonicalJson(data))) return null
  const read = (name: string): Float32Array => {
    const entry = tensors.get(name)
    if (entry === undefined) throw new Error(`internal: checkpoint without ${name}`)
    // A copy: parameters change in place, the bytes may be the store's.
    return floatValues(name, entry, bytes.slice(entry.offset, entry.offset + entry.bytes))
  }
  const parameters = header.parameters.map(({ name, dims }): Parameter => ({ name, dims, values: read(name) }))
  const optimizers = parameters.map((parameter, i) => {
    const prefix = `${parameter.name}.`
    const moments = [...tensors.keys()].filter(name => name.startsWith(prefix)).map(name => [name.slice(prefix.length), read(name)] as const)
    return createOptimizer(data.recipe, parameter, { updates: header.updates[i]!, moments: Object.fromEntries(moments) })
  })
  const best = header.best === null ? null : { ...header.best, values: parameters.map(({ name }) => read(`best.${name}`)) }
  const { step, evaluatedStep, evaluationsWithoutGain, divergence } = header
  return { step, parameters, optimizers, evaluatedStep, best, evaluationsWithoutGain, divergence }
}

/** The checkpoint of one job in the object store. */
export class CheckpointStore {
  readonly #objects: ObjectStore
  readonly #data: TrainingJobData
  readonly #key: string

  constructor (objects: ObjectStore, data: TrainingJobData) {
    this.#objects = objects
    this.#data = data
    this.#key = `${checkpointPrefix(data.tenant, data.job)}state.safetensors`
  }

  async save (state: TrainingState): Promise<void> {
    await this.#objects.put(this.#key, encodeCheckpoint(this.#data, state))
  }

  async load (): Promise<TrainingState | null> {
    const bytes = await this.#objects.get(this.#key)
    return bytes === null ? null : decodeCheckpoint(this.#data, bytes)
  }

  async remove (): Promise<void> {
    await this.#objects.delete(this.#key)
  }
}
