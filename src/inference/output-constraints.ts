/** Outputs that are ready to be masked with, kept within a bound of bytes; compiled once for all who ask at the same time. */
import type { OutputCompiler } from '../constraint/compiler.js'
import type { Output } from '../constraint/output.js'
import { digestOf } from '../digest.js'
import { BoundedCache, type Pinned } from './bounded-cache.js'
import { SingleFlight } from './single-flight.js'
import { TokenMasks } from './token-masks.js'
import type { Vocabulary } from './vocabulary.js'

export const KEPT_OUTPUT_BYTES = 32 * 1024 * 1024

export type PinnedMasks = Pinned<TokenMasks>

export class OutputConstraints {
  readonly #compiler: Pick<OutputCompiler, 'compile'>
  readonly #vocabulary: Vocabulary
  readonly #kept: BoundedCache<TokenMasks>
  // The compiler has its own order.
  readonly #making = new SingleFlight<TokenMasks>(Infinity)

  constructor (compiler: Pick<OutputCompiler, 'compile'>, vocabulary: Vocabulary, keptBytes = KEPT_OUTPUT_BYTES) {
    this.#compiler = compiler
    this.#vocabulary = vocabulary
    this.#kept = new BoundedCache(keptBytes, masks => masks.bytes)
  }

  /** @throws ServiceError `invalid_request` at `output/…` */
  async acquire (output: Output, tenant: string): Promise<PinnedMasks> {
    // The order of properties is that of the answer, so it tells outputs apart.
    const digest = digestOf(JSON.stringify(output))
    return this.#kept.pin(digest) ?? this.#kept.add(digest, await this.#making.run(digest, async () => new TokenMasks(await this.#compiler.compile(output, tenant, this.#vocabulary.singleBytes), this.#vocabulary)))
  }
}
