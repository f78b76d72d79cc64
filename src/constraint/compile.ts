/** From what a task or a request asks for to the table its answers are followed in. */
import { type Automaton, automatonOf, type Completion, completionOf } from './automaton.js'
import { either, type Grammar, text } from './grammar.js'
import { jsonSchemaGrammar } from './json-schema.js'
import { nfaOf, TooLarge } from './nfa.js'
import { checkOutput, type Output, refusedOutput } from './output.js'
import { RegexError, wholeMatch } from './regex.js'

/** Every byte may be used alone. */
export const ALL_BYTES: Uint8Array = new Uint8Array(256).fill(1)
const HALF_A_PAIR = /[\uD800-\uDFFF]/u

export interface CompiledOutput { readonly automaton: Automaton, readonly completion: Completion }

/**
 * @param usable [256] 1: the base has a token of this byte alone
 * @throws ServiceError `invalid_request` at `output/…`: not understood, too large, or satisfied by no text
 */
export function compileOutput (output: Output, usable = ALL_BYTES): CompiledOutput {
  checkOutput(output)
  const place = `/${Object.keys(output)[0]!}`
  try {
    const automaton = automatonOf(nfaOf(grammarOf(output)))
    if (completionOf(automaton, ALL_BYTES).live[0] === 0) throw refusedOutput(place, 'no text satisfies it')
    return { automaton, completion: completionOf(automaton, usable) }
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error
    throw refusedOutput(place, `too expensive: ${error.message}`)
  }
}

function grammarOf ({ json_schema: schema, choices, regex }: Output): Grammar {
  if (schema !== undefined) return jsonSchemaGrammar(schema)
  if (choices !== undefined) return choiceGrammar(choices)
  if (regex === undefined) throw new Error('internal: an output without any of its kinds')
  try {
    return wholeMatch(regex)
  } catch (error) {
    if (!(error instanceof RegexError)) throw error
    throw refusedOutput('/regex', error.message)
  }
}

function choiceGrammar (choices: readonly string[]): Grammar {
  for (const [index, choice] of choices.entries()) {
    if (HALF_A_PAIR.test(choice)) throw refusedOutput(`/choices/${index}`, 'it holds half a surrogate pair, which is no character')
    if (choices.indexOf(choice) !== index) throw refusedOutput(`/choices/${index}`, 'it is there twice')
  }
  return either(...choices.map(text))
}
