/** Texts inside a JSON string, each character written the one way `JSON.stringify` writes it. */
import { allBut, type Characters, charactersOf, inBoth } from './characters.js'
import { character, either, type Grammar, sequence, text } from './grammar.js'

/** Control characters, the quotation mark and the backslash. */
const ESCAPED = charactersOf([0, 0x1f], [0x22, 0x22], [0x5c, 0x5c])
const PLAIN = allBut(ESCAPED)
const LONG_ESCAPE = /^(\\u00[01])(.)$/

/** The same texts between quotation marks. */
export function quoted (content: Grammar): Grammar {
  return sequence(text('"'), escaped(content), text('"'))
}

function escaped (grammar: Grammar): Grammar {
  switch (grammar.kind) {
    case 'text': return text(JSON.stringify(grammar.text).slice(1, -1))
    case 'character': return either(character(inBoth(grammar.of, PLAIN)), ...escapesOf(inBoth(grammar.of, ESCAPED)))
    case 'sequence': return sequence(...grammar.parts.map(escaped))
    case 'either': return either(...grammar.options.map(escaped))
    case 'repeat': return { ...grammar, part: escaped(grammar.part) }
    case 'listed': return { ...grammar, items: grammar.items.map(({ part, optional }) => ({ part: escaped(part), optional })), separator: escaped(grammar.separator) }
  }
}

/** What they have in common is there once: a string of a thousand characters has this a thousand times. */
function escapesOf (characters: Characters): Grammar[] {
  const lastOf = new Map<string, number[]>()
  for (const [from, to] of characters) {
    for (let code = from; code <= to; code++) {
      const escape = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
      const [, start = '\\', last = escape[1]!] = LONG_ESCAPE.exec(escape) ?? []
      lastOf.set(start, [...lastOf.get(start) ?? [], last.charCodeAt(0)])
    }
  }
  return [...lastOf].map(([start, last]) => sequence(text(start), character(charactersOf(...last.map(code => [code, code] as const)))))
}
