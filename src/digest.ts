import { createHash } from 'node:crypto'

/** `sha256:` and 64 lower-case hexadecimal digits: how artifacts, bases and serving graphs are named everywhere. */
export type Digest = `sha256:${string}`

const DIGEST = /^sha256:[0-9a-f]{64}$/

export function isDigest (text: string): text is Digest {
  return DIGEST.test(text)
}

/** SHA-256 of raw bytes or UTF-8 text. */
export function digestOf (data: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`
}

/** The 64 hexadecimal digits of a digest, for file names. */
export function hexOf (digest: Digest): string {
  return digest.slice('sha256:'.length)
}

/** JSON with object keys sorted at every depth, so that equal values have equal digests. */
export function canonicalJson (value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => inner !== null && typeof inner === 'object' && !Array.isArray(inner)
    ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1))
    : inner)
}
