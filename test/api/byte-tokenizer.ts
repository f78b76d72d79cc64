import type { Tokenizer } from '../../src/model/tokenizer.js'

export const BEGIN = 256
export const END = 257
const CONTROL = new Map([['<begin>', BEGIN], ['<end>', END]])

/** One token for each byte, so that every character outside ASCII comes in pieces; two control tokens. */
export const byteTokenizer: Tokenizer = {
  vocabSize: 258,
  encode (text, { parseSpecial = false } = {}) {
    if (!parseSpecial) return [...Buffer.from(text)]
    return text.split(/(<begin>|<end>)/).flatMap(part => CONTROL.has(part) ? [CONTROL.get(part) as number] : [...Buffer.from(part)])
  },
  decode (ids, { keepSpecial = false } = {}) {
    const names = new Map([...CONTROL].map(([name, id]) => [id, name]))
    return Buffer.concat(ids.map(id => id < 256 ? Buffer.from([id]) : Buffer.from(keepSpecial ? names.get(id) ?? '' : ''))).toString('utf8')
  },
  piece: id => id < 256 ? Buffer.from([id]).toString('utf8') : ''
}
