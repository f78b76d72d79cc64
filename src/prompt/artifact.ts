/**
 * The immutable form of a trained prompt: a PEFT-readable folder and `permafrost.json`, named by the SHA-256 over the
 * names and bytes of its files. safetensors only, never pickle.
 */
import { type Static, Type } from '@sinclair/typebox'
import { OUTPUT_SCHEMA, SCHEMA } from '../schema.js'
import { METHODS } from './methods.js'
import { TaskSpecSchema } from './task-spec.js'

export const ARTIFACT_FILES = {
  adapterConfig: 'adapter_config.json',
  /** Tensor `prompt_embeddings`, float32: [P, hidden] for prompt tuning, [P, layers·2·kvHeads·headSize] for prefix tuning (part 2l keys, 2l+1 values of layer l, as PEFT). */
  adapter: 'adapter_model.safetensors',
  /** Tensor `label_vectors`, float32 [labels, hidden], in the plain (unrotated) space behind the last norm; only with a verbalizer of vectors. */
  labelVectors: 'label_vectors.safetensors',
  manifest: 'permafrost.json'
} as const

export const PromptManifestSchema = Type.Object({
  /** `schemaOf(task)` */
  schema: Type.Union([Type.Literal(SCHEMA), Type.Literal(OUTPUT_SCHEMA)]),
  /** Digest of the base it was trained for. */
  base: Type.String(),
  method: Type.Union(METHODS.map(method => Type.Literal(method))),
  numVirtualTokens: Type.Integer({ minimum: 1 }),
  task: TaskSpecSchema,
  /** The completed recipe, verbatim; null when imported. */
  recipe: Type.Unknown(),
  /** Digests of the training and validation files; null when imported. */
  data: Type.Union([Type.Null(), Type.Object({ training: Type.String(), validation: Type.Union([Type.String(), Type.Null()]), rows: Type.Integer() })]),
  /** Standard metric names, measured on the validation rows. */
  metrics: Type.Record(Type.String(), Type.Number()),
  seed: Type.Union([Type.Integer(), Type.Null()]),
  job: Type.Union([Type.String(), Type.Null()]),
  createdAt: Type.String()
}, { additionalProperties: true })
export type PromptManifest = Static<typeof PromptManifestSchema>

/** A parsed and checked artifact. */
export interface SoftPrompt {
  readonly manifest: PromptManifest
  /** As in `adapter_model.safetensors`, row-major. */
  readonly embeddings: Float32Array
  /** Row-major [labels, hidden]; null for generation and for a verbalizer of tokens. */
  readonly labelVectors: Float32Array | null
}

/** The files of an artifact by name, as an `ArtifactStore` keeps them. */
export type ArtifactFiles = ReadonlyMap<string, Uint8Array>
