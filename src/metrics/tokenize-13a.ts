// White space of Python's `str.split()`: unlike JavaScript's \s it has the separators U+001C..1F and U+0085, and lacks U+FEFF.
// oxlint-disable-next-line no-control-regex
const WHITE_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/

/**
 * The tokenizer of mteval-v13a as sacreBLEU has it (`tokenizers/tokenizer_13a.py`, `tokenizer_re.py`): the four rules are
 * applied in this order, each to the result of the one before.
 */
export function tokenize13a (text: string): string[] {
  return ` ${text.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ')
    .replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>')} `
    .replace(/([{-~[-` -&(-+:-@/])/gu, ' $1 ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ')
    .replace(/([.,])([^0-9])/gu, ' $1 $2')
    .replace(/([0-9])(-)/gu, '$1 $2 ')
    .split(WHITE_SPACE)
    .filter(token => token !== '')
}
