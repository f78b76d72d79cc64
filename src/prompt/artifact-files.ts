/** A soft prompt as the files of an artifact, and back. Equal prompts give equal bytes, so that the digest names content. */
import { Value } from '@sinclair/typebox/value'
import { checkOutput } from '../constraint/output.js'
import { canonicalJson, type Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { LlamaConfig } from '../model/llama-config.js'
import { encodeSafetensors } from '../model/safetensors-writer.js'
import { OUTPUT_SCHEMA, refuseNewerSchema, schemaOf } from '../schema.js'
import { ARTIFACT_FILES, PromptManifestSchema, type ArtifactFiles, type PromptManifest, type SoftPrompt } from './artifact.js'
import { artifactDigest } from './artifact-digest.js'
import { jsonFile, tensorFile } from './artifact-reading.js'
import { peftConfig, promptColumns, PROMPT_TENSOR, readPeftAdapter } from './peft.js'
import type { TaskSpec } from './task-spec.js'
import { parseTemplate } from './template.js'

const LABEL_TENSOR = 'label_vectors'
// As PEFT and transformers mark their files.
const METADATA = { format: 'pt' }

/**
 * @param base whose name is written for PEFT, and whose dimensions the prompt has
 * @throws Error when the prompt contradicts itself or the base: a fault of ours
 */
export function writeArtifact (prompt: SoftPrompt, base: { readonly name: string, readonly config: LlamaConfig }): ArtifactFiles {
  const { manifest, embeddings, labelVectors } = prompt
  const { method, numVirtualTokens, task } = manifest
  const columns = promptColumns(method, base.config)
  const problem = manifestProblem(manifest)
  if (problem !== null) throw new Error(`internal: manifest of a prompt: ${problem}`)
  if (!embeddings.every(Number.isFinite) || labelVectors?.every(Number.isFinite) === false) throw new Error('internal: a prompt with values that are not finite')
  const files = new Map<string, Uint8Array>([
    [ARTIFACT_FILES.adapterConfig, jsonBytes(peftConfig(method, numVirtualTokens, base.name, base.config))],
    [ARTIFACT_FILES.adapter, tensorBytes(PROMPT_TENSOR, numVirtualTokens, columns, embeddings)]
  ])
  if (task.verbalizer?.type === 'vectors') {
    if (labelVectors === null) throw new Error('internal: a verbalizer of vectors without label vectors')
    files.set(ARTIFACT_FILES.labelVectors, tensorBytes(LABEL_TENSOR, task.verbalizer.labels.length, base.config.hiddenSize, labelVectors))
  } else if (labelVectors !== null) {
    throw new Error('internal: label vectors without a verbalizer of vectors')
  }
  files.set(ARTIFACT_FILES.manifest, jsonBytes(manifest))
  return files
}

function tensorBytes (name: string, rows: number, columns: number, values: Float32Array): Uint8Array {
  return encodeSafetensors(new Map([[name, { shape: [rows, columns], values }]]), METADATA)
}

/** Keys sorted at every depth, indented for people. */
function jsonBytes (value: unknown): Uint8Array {
  return Buffer.from(`${JSON.stringify(JSON.parse(canonicalJson(value)), null, 2)}\n`)
}

/**
 * @param expected the base that it is to be used with
 * @throws ServiceError newer_schema naming the artifact, malformed_artifact naming file and field, wrong_base with both digests, not_finite naming the tensor
 */
export function readArtifact (files: ArtifactFiles, expected: { readonly base: Digest, readonly config: LlamaConfig }): SoftPrompt {
  const manifest = readManifest(files) // first: an artifact of a newer schema may have other files
  const known: readonly string[] = Object.values(ARTIFACT_FILES)
  const stranger = [...files.keys()].find(name => !known.includes(name))
  if (stranger !== undefined) throw malformed(stranger.slice(0, 100), `${JSON.stringify(stranger.slice(0, 100))} is no file of an artifact; it has ${known.join(', ')}`)
  if (manifest.base !== expected.base) throw new ServiceError('wrong_base', `the prompt was trained for base ${manifest.base}, this one is ${expected.base}`, { param: 'base' })
  const adapter = readPeftAdapter(files, expected.config)
  for (const key of ['method', 'numVirtualTokens'] as const) {
    if (adapter[key] !== manifest[key]) throw malformed(ARTIFACT_FILES.manifest, `${ARTIFACT_FILES.manifest} says ${key} ${manifest[key]}, ${ARTIFACT_FILES.adapterConfig} says ${adapter[key]}`)
  }
  if (manifest.numVirtualTokens >= expected.config.contextLength) throw malformed(ARTIFACT_FILES.manifest, `${manifest.numVirtualTokens} virtual tokens leave no room in a context of ${expected.config.contextLength}`)
  return { manifest, embeddings: adapter.embeddings, labelVectors: readLabelVectors(files, manifest, expected.config) }
}

/** The manifest alone, for what needs no numbers. @throws ServiceError newer_schema, malformed_artifact */
export function readManifest (files: ArtifactFiles): PromptManifest {
  const value = jsonFile(files, ARTIFACT_FILES.manifest)
  const { schema, task } = value
  const holdsOutput = typeof task === 'object' && task !== null && 'output' in task
  if (schema !== OUTPUT_SCHEMA || !holdsOutput) refuseNewerSchema(`artifact ${artifactDigest(files)}`, schema)
  const problem = manifestProblem(value)
  if (problem !== null) throw malformed(ARTIFACT_FILES.manifest, `${ARTIFACT_FILES.manifest}: ${problem}`)
  return value as PromptManifest
}

function manifestProblem (value: unknown): string | null {
  const error = Value.Errors(PromptManifestSchema, value).First()
  if (error !== undefined) return `${error.path.slice(1) || 'it'}: ${error.message}`
  const { schema, task } = value as PromptManifest
  if (schema !== schemaOf(task)) return `schema: ${schema} is not that of a task ${task.output === undefined ? 'without' : 'with'} an output`
  return taskProblem(task)
}

/** What the schema cannot say. */
function taskProblem ({ kind, template, verbalizer, output }: TaskSpec): string | null {
  if ((kind === 'generation') !== (verbalizer === null)) return `task: a ${kind} task ${verbalizer === null ? 'needs a' : 'has no'} verbalizer`
  if (output !== undefined && kind === 'classification') return 'task: a classification has no output'
  const names = verbalizer?.labels.map(label => label.name) ?? []
  const repeated = names.find((name, i) => names.indexOf(name) !== i)
  if (repeated !== undefined) return `task: label ${JSON.stringify(repeated)} is there twice`
  try {
    parseTemplate(template)
    if (output !== undefined) checkOutput(output)
    return null
  } catch (error) {
    return `task: ${(error as Error).message}`
  }
}

function readLabelVectors (files: ArtifactFiles, { task: { verbalizer } }: PromptManifest, config: LlamaConfig): Float32Array | null {
  const name = ARTIFACT_FILES.labelVectors
  const beyond = verbalizer?.labels.find(label => [label.tokenId, ...label.tokenIds].some(id => id >= config.vocabSize))
  if (beyond !== undefined) throw malformed(ARTIFACT_FILES.manifest, `label ${JSON.stringify(beyond.name)} has a token beyond the vocabulary of ${config.vocabSize}`)
  if (verbalizer?.type !== 'vectors') {
    if (files.has(name)) throw malformed(name, `${name} belongs to a verbalizer of vectors; this one is ${verbalizer === null ? 'absent' : 'of tokens'}`)
    return null
  }
  const shape = [verbalizer.labels.length, config.hiddenSize] as const
  return tensorFile(files, name, LABEL_TENSOR, ([rows, columns]) => rows === shape[0] && columns === shape[1] ? null : `has shape [${rows}, ${columns}]; [${shape.join(', ')}] is needed (labels, hidden size)`)
}

function malformed (param: string, message: string): ServiceError {
  return new ServiceError('malformed_artifact', message, { param })
}
