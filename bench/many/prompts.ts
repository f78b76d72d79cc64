/** Ten thousand different prompts in the place of an artifact store. */
import type { ArtifactFiles } from '../../src/prompt/artifact.js'
import { type Digest, digestOf } from '../../src/digest.js'
import type { Base } from '../../src/model/base.js'
import type { Method } from '../../src/prompt/methods.js'
import { promptColumns } from '../../src/prompt/peft.js'
import { promptFiles } from '../../test/inference/tiny-service.js'
import { seededNumbers } from '../../test/support/numbers.js'

export const VIRTUAL_TOKENS = 16
export const LABEL_TOKENS = [5, 9]
/** Numbers of trained prompts and of trained prefixes are of these orders. */
const SCALES: Readonly<Record<Method, number>> = { 'prompt-tuning': 0.1, 'prefix-tuning': 1.5 }

/** Makes an artifact when it is read, so a load costs no disk: the benchmark of warm and cold prompts measures that. */
export class ManyPrompts {
  readonly digests: readonly Digest[]
  /** How often artifacts were read. */
  gets = 0
  readonly #base: Base
  readonly #method: Method
  /** Each prompt begins one number later: drawing each one's own would take minutes. */
  readonly #numbers: Float32Array
  readonly #indices: ReadonlyMap<Digest, number>

  constructor (base: Base, method: Method, count: number) {
    this.#base = base
    this.#method = method
    const random = seededNumbers(2)
    this.#numbers = Float32Array.from({ length: VIRTUAL_TOKENS * promptColumns(method, base.manifest.config) + count }, () => SCALES[method] * random())
    this.digests = Array.from({ length: count }, (_, index) => digestOf(`${method} ${index}`))
    this.#indices = new Map(this.digests.map((digest, index) => [digest, index]))
  }

  async get (digest: Digest): Promise<ArtifactFiles> {
    this.gets++
    const from = this.#indices.get(digest)!
    return promptFiles(this.#base, { method: this.#method, virtualTokens: VIRTUAL_TOKENS, labelTokens: LABEL_TOKENS, value: index => this.#numbers[from + index]! })
  }
}
