/** The tokens of a base as bytes of the text that they are decoded to. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BASE_FILES } from './base.js'
import { byteLevelBytes, tokenDecoder } from './token-decoder.js'
import { validateTokenizerJson, type ValidTokenizerJson } from './tokenizer-json.js'

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/
/** No decoder takes anything off it or the token behind it. */
const BEFORE = 'x'

/** By id; undefined: a control token, no token, or no text. */
export interface TokenBytes {
  /** Of the first token of an answer: some decoders leave its leading space out. */
  readonly first: ReadonlyArray<Uint8Array | undefined>
  readonly later: ReadonlyArray<Uint8Array | undefined>
}

/** @throws MalformedModelError; an I/O error as it is */
export async function loadTokenBytes (baseFolder: string): Promise<TokenBytes> {
  return tokenBytes(validateTokenizerJson(await readFile(join(baseFolder, BASE_FILES.tokenizer))))
}

export function tokenBytes (json: ValidTokenizerJson): TokenBytes {
  const first: Array<Uint8Array | undefined> = []
  const later: Array<Uint8Array | undefined> = []
  const decode = tokenDecoder(json.decoder)
  const add = (id: number, token: string): void => {
    if (json.decoder?.type === 'ByteLevel') {
      first[id] = later[id] = notEmpty(byteLevelBytes(token))
      return
    }
    const byte = json.model.byte_fallback ? Number.parseInt(BYTE_TOKEN.exec(token)?.[1] ?? '', 16) : Number.NaN
    // A byte of a longer character has no text of its own.
    if (byte >= 0x80) {
      first[id] = later[id] = Uint8Array.of(byte)
      return
    }
    first[id] = notEmpty(Buffer.from(decode([token]).join('')))
    later[id] = notEmpty(Buffer.from(decode([BEFORE, token]).join('').slice(BEFORE.length)))
  }
  for (const [token, id] of Object.entries(json.model.vocab)) add(id, token)
  // What is added is written as it is where nothing normalises it; of the rest nothing is certain.
  for (const { id, content, special, normalized } of json.added_tokens) {
    if (special || (normalized && json.normalizer !== null)) first[id] = later[id] = undefined
    else add(id, content)
  }
  return { first, later }
}

function notEmpty (bytes: Iterable<number>): Uint8Array | undefined {
  const array = Uint8Array.from(bytes)
  return array.length === 0 ? undefined : array
}
