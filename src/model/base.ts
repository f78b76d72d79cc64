import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../digest.js'
import { NotYetError } from '../errors.js'
import { checkSchema, type SCHEMA } from '../schema.js'
import type { LlamaConfig } from './llama-config.js'
import type { RotationPlan } from './rotate.js'

/** What a base folder holds. File names are fixed, so that a stranger finds them. */
export const BASE_FILES = {
  manifest: 'manifest.json',
  /** Float32, Hugging Face names and row order; external data of the training graph and of the float32 serving graph. */
  weights: 'model.safetensors',
  /** Validated `tokenizer.json`, whatever the source was. */
  tokenizer: 'tokenizer.json',
  chatTemplate: 'chat-template.jinja',
  serving: { float32: 'serve-float32.onnx', w8a8: 'serve-w8a8.onnx' },
  /** Several short inputs in one run, in W8A8 with fused attention. */
  lanes: 'serve-w8a8-lanes.onnx',
  /** External data of both graphs of W8A8. */
  w8a8Data: 'serve-w8a8.data'
} as const

export const SERVING_FORMATS = ['float32', 'w8a8'] as const
export type ServingFormat = typeof SERVING_FORMATS[number]

/** One number format of the frozen LM, as the inference process loads it. */
export interface ServingGraph {
  /** Over graph bytes, external data and rotation: what a compiled prompt belongs to. */
  readonly digest: Digest
  /** How vectors of the plain residual stream enter this graph's residual stream; null: unchanged. */
  readonly rotation: RotationPlan | null
  /** Attention by GroupQueryAttention (head size a multiple of 16) or by plain operators. */
  readonly attention: 'fused' | 'plain'
  /** Whether the lanes graph stands beside it; bases of older versions do not say. */
  readonly lanes?: boolean
}

export interface BaseManifest {
  readonly schema: typeof SCHEMA
  /** Identity of the base: weights, configuration and tokenizer. Adapters name it. */
  readonly digest: Digest
  /** `[a-z0-9._-]+`, the source's file name without number format (metadata often name a training run); shown to clients. */
  readonly name: string
  readonly licence: string | null
  readonly source: { readonly file: string, readonly bytes: number, readonly digest: Digest }
  readonly config: LlamaConfig
  /** Whether the tokenizer puts a beginning-of-text token in front of every text. */
  readonly addsBos: boolean
  readonly hasChatTemplate: boolean
  readonly serving: Readonly<Record<ServingFormat, ServingGraph>>
  /** What the importer wants the operator to know (unused tensors, an unusable chat template). */
  readonly warnings: readonly string[]
}

/** An imported base on disk. */
export interface Base { readonly folder: string, readonly manifest: BaseManifest }

/**
 * @param path of the folder or of a link to it, which is followed once
 * @throws NotYetError when there is no base, newer_schema
 */
export async function openBase (path: string): Promise<Base> {
  const { folder, text } = await readManifest(path)
  const manifest = JSON.parse(text) as BaseManifest
  checkSchema(`the base in ${folder}`, manifest.schema)
  return { folder, manifest }
}

async function readManifest (path: string): Promise<{ folder: string, text: string }> {
  try {
    const folder = await realpath(path)
    return { folder, text: await readFile(join(folder, BASE_FILES.manifest), 'utf8') }
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === 'ENOENT' ? new NotYetError(`there is no base in ${path}`, { cause }) : cause
  }
}
