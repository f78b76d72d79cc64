/** Example prompts as the project ships them, of a few bytes, for a base that needs no more than its shape. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../src/digest.js'
import type { BaseManifest } from '../../src/model/base.js'
import { writeArtifact } from '../../src/prompt/artifact-files.js'
import type { SoftPrompt } from '../../src/prompt/artifact.js'

export const BASE = digestOf('this base')
const config = { hiddenSize: 4, numLayers: 1, numHeads: 1, numKvHeads: 1, headSize: 4 } as BaseManifest['config']
export const manifest = { digest: BASE, name: 'tiny', config } as BaseManifest

function promptFor (base: Digest): SoftPrompt {
  return {
    manifest: {
      schema: 1, base, method: 'prompt-tuning', numVirtualTokens: 2, task: { kind: 'generation', template: '{input}\n', verbalizer: null },
      recipe: null, data: null, metrics: { loss: 1 }, seed: null, job: null, createdAt: '2026-01-01T00:00:00.000Z'
    },
    embeddings: new Float32Array(8).fill(0.5),
    labelVectors: null
  }
}

export async function writeExample (folder: string, name: string, base: Digest = BASE): Promise<void> {
  await mkdir(join(folder, name), { recursive: true })
  for (const [file, bytes] of writeArtifact(promptFor(base), { name: 'tiny', config })) await writeFile(join(folder, name, file), bytes)
  await writeFile(join(folder, name, 'task.json'), JSON.stringify({ name, description: 'writes', example_input: 'hello' }))
  await writeFile(join(folder, name, 'LICENSE'), 'CC0')
}
