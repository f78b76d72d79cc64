/**
 * Token strings to text, as the decoders of Hugging Face's tokenizers do it. Written here because those of
 * @huggingface/tokenizers 0.2 drop U+FEFF and replace broken bytes by another number of U+FFFD.
 */
import type { DecoderJson } from './tokenizer-json.js'

export type TokenDecoder = (tokens: readonly string[]) => string[]

const LOSSY = new TextDecoder('utf-8', { ignoreBOM: true })
const STRICT = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })
const UTF8 = new TextEncoder()

/** Without a decoder tokens stand apart, as in the library. */
export function tokenDecoder (json: DecoderJson | null): TokenDecoder {
  switch (json?.type) {
    case undefined: return tokens => [tokens.join(' ')]
    case 'ByteLevel': return tokens => [LOSSY.decode(Uint8Array.from(tokens.flatMap(byteLevelBytes)))]
    case 'ByteFallback': return joinByteTokens
    case 'Fuse': return tokens => [tokens.join('')]
    case 'Replace': return tokens => tokens.map(token => token.replaceAll(json.pattern.String, () => json.content))
    case 'Strip': return tokens => tokens.map(token => strip(token, json))
    // The first token loses every mark, not only the leading one.
    case 'Metaspace': return tokens => tokens.map((token, i) => token.replaceAll(json.replacement, i === 0 && json.prepend_scheme !== 'never' ? '' : ' '))
    case 'Sequence': {
      const steps = json.decoders.map(tokenDecoder)
      return tokens => steps.reduce((left, step) => step(left), [...tokens])
    }
  }
}

/** GPT-2's alphabet: the printable characters of Latin-1 stand for themselves, the other bytes for U+0100 and following. */
const BYTE_OF: ReadonlyMap<string, number> = byteAlphabet()

function byteAlphabet (): Map<string, number> {
  let others = 0
  return new Map(Array.from({ length: 256 }, (_, byte) => [String.fromCharCode(isPrintable(byte) ? byte : 256 + others++), byte]))
}

function isPrintable (byte: number): boolean {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
}

/** A token with any other character is an added one and means its own text. */
export function byteLevelBytes (token: string): number[] {
  const bytes: number[] = []
  for (const character of token) {
    const byte = BYTE_OF.get(character)
    if (byte === undefined) return [...UTF8.encode(token)]
    bytes.push(byte)
  }
  return bytes
}

/** `<0xE2>` tokens in a row are one piece of UTF-8; a piece that is not valid becomes one U+FFFD for each byte. */
function joinByteTokens (tokens: readonly string[]): string[] {
  const joined: string[] = []
  let bytes: number[] = []
  const flush = (): void => {
    if (bytes.length === 0) return
    try {
      joined.push(STRICT.decode(Uint8Array.from(bytes)))
    } catch {
      joined.push('\uFFFD'.repeat(bytes.length))
    }
    bytes = []
  }
  for (const token of tokens) {
    if (/^<0x[0-9A-Fa-f]{2}>$/.test(token)) {
      bytes.push(Number.parseInt(token.slice(3, 5), 16))
    } else {
      flush()
      joined.push(token)
    }
  }
  flush()
  return joined
}

function strip (token: string, { content, start, stop }: { content: string, start: number, stop: number }): string {
  const characters = Array.from(token)
  let from = 0
  while (from < start && characters[from] === content) from++
  let to = characters.length
  while (characters.length - to < stop && to > from && characters[to - 1] === content) to--
  return characters.slice(from, to).join('')
}
