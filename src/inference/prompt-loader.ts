/** From an artifact to what is kept of it in memory: verified bytes, checked numbers, in the space of this serving graph. */
import type { Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { BaseManifest, ServingFormat } from '../model/base.js'
import { rotateRows } from '../model/rotate.js'
import type { SoftPrompt } from '../prompt/artifact.js'
import { readArtifact } from '../prompt/artifact-files.js'
import type { ArtifactStore } from '../registry/store/artifact-store.js'
import type { CompiledPrompt, PromptEmbeddings } from './compiled-prompt.js'

export interface PromptLoaderOptions {
  readonly store: Pick<ArtifactStore, 'get'>
  readonly manifest: BaseManifest
  readonly format: ServingFormat
  /** Positions of one slot. */
  readonly maxContext: number
  /** Rows of the base's head. */
  readonly headRows: (ids: readonly number[]) => Promise<Float32Array>
  /** [hidden] */
  readonly finalNormGain: Float32Array
}

export class PromptLoader {
  readonly #options: PromptLoaderOptions

  constructor (options: PromptLoaderOptions) {
    this.#options = options
  }

  /**
   * Prefix tuning has learned keys and values, so of it nothing is left to compute.
   * @throws ServiceError `version_not_found`, `artifact_corrupt`, `malformed_artifact`, `not_finite`, `wrong_base`, `context_too_long`
   */
  async load (digest: Digest): Promise<PromptEmbeddings | CompiledPrompt> {
    const { store, manifest: { digest: base, config }, maxContext } = this.#options
    const prompt = readArtifact(await store.get(digest), { base, config })
    const { method, numVirtualTokens: virtualTokens } = prompt.manifest
    if (virtualTokens >= maxContext) throw new ServiceError('context_too_long', `${virtualTokens} virtual tokens, limit ${maxContext}`, { param: 'prompt' })
    const known = { digest, virtualTokens, labels: await this.#labels(prompt) }
    switch (method) {
      case 'prefix-tuning': return { ...known, fixedTokens: 0, prefix: prefixOf(prompt.embeddings, virtualTokens, config.numLayers * 2 * config.numKvHeads, config.headSize) }
      case 'prompt-tuning': return { ...known, embeddings: this.#rotated(prompt.embeddings) }
    }
  }

  /** Label rows are learned for the plain `hidden`; one without gain, or a rotated one, wants them changed the same way. */
  async #labels ({ manifest, labelVectors }: SoftPrompt): Promise<Float32Array | null> {
    const { verbalizer } = manifest.task
    if (verbalizer === null) return null
    const rows = verbalizer.type === 'vectors' ? labelVectors! : await this.#options.headRows(verbalizer.labels.map(label => label.tokenId))
    if (this.#options.format === 'float32') return rows
    // The quantised graph has its gains folded into the linears, so its `hidden` has none.
    const gain = this.#options.finalNormGain
    return this.#rotated(rows.map((value, index) => value * gain[index % gain.length]!))
  }

  #rotated (rows: Float32Array): Float32Array {
    const { manifest, format } = this.#options
    const { rotation } = manifest.serving[format]
    return rotation === null ? rows : rotateRows(rows, manifest.config.hiddenSize, rotation)
  }
}

/**
 * PEFT keeps a prefix token by token, [P, layers·k|v·KH, D]; a slot keeps it head by head, [layers·k|v·KH, P, D].
 * The keys stand behind the rotation by position already, so nothing is computed.
 */
export function prefixOf (embeddings: Float32Array, virtualTokens: number, heads: number, headSize: number): Float32Array {
  const prefix = new Float32Array(embeddings.length)
  for (let token = 0; token < virtualTokens; token++) {
    for (let head = 0; head < heads; head++) {
      const from = (token * heads + head) * headSize
      prefix.set(embeddings.subarray(from, from + headSize), (head * virtualTokens + token) * headSize)
    }
  }
  return prefix
}
