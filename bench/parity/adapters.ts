/** Adapter folders that PEFT saved, and the same prompts as artifacts of the product. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Base } from '../../src/model/base.js'
import type { ArtifactFiles } from '../../src/prompt/artifact.js'
import { writeArtifact } from '../../src/prompt/artifact-files.js'
import { type PeftAdapter, readPeftAdapter } from '../../src/prompt/peft.js'
import { filesIn, readJson } from './fixture-files.js'

export interface AdapterConfig {
  readonly peft_type: string
  readonly num_virtual_tokens: number
  readonly prefix_projection?: boolean
  readonly prompt_tuning_init?: string
  readonly prompt_tuning_init_text?: string | null
}

export function adapterConfig (folder: string): AdapterConfig {
  return readJson<AdapterConfig>(folder, 'adapter_config.json')
}

export function readAdapter (folder: string, base: Base): PeftAdapter {
  return readPeftAdapter(new Map(filesIn(folder).map(name => [name, readFileSync(join(folder, name))])), base.manifest.config)
}

/** What exporting the adapter as a version writes. */
export function artifactOf ({ method, numVirtualTokens, embeddings }: PeftAdapter, { manifest: { name, digest, config } }: Base): ArtifactFiles {
  const task = { kind: 'generation', template: '{input}', verbalizer: null } as const
  const manifest = { schema: 1, base: digest, method, numVirtualTokens, task, recipe: null, data: null, metrics: {}, seed: null, job: null, createdAt: '2000-01-01T00:00:00Z' } as const
  return writeArtifact({ manifest, embeddings, labelVectors: null }, { name, config })
}

/** Why an adapter of this type cannot be read yet; null when it can. */
export function unreadable ({ peft_type: type }: AdapterConfig): string | null {
  return type === 'P_TUNING' ? 'P-tuning comes with a later issue; its adapters are refused by name' : null
}
