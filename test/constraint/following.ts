/** Texts and automata without tokens. */
import { type Automaton, DEAD } from '../../src/constraint/automaton.js'

/** From 0 to under `limit`. */
export type Below = (limit: number) => number

export function accepts ({ classes, numClasses, table, accepting }: Automaton, text: string): boolean {
  let state = 0
  for (const byte of Buffer.from(text)) {
    state = table[state * numClasses + classes[byte]!]!
    if (state === DEAD) return false
  }
  return accepting[state] === 1
}

/** A random walk to an end; null when `bytes` were not enough to come to one. */
export function randomText (automaton: Automaton, below: Below, bytes = 2000): string | null {
  const { classes, numClasses, table, accepting } = automaton
  const text: number[] = []
  let state = 0
  while (text.length < bytes) {
    const next = Array.from(classes.keys()).filter(byte => table[state * numClasses + classes[byte]!] !== DEAD)
    if (accepting[state] === 1 && (next.length === 0 || below(4) === 0)) return Buffer.from(text).toString()
    // Ends of strings are one byte of some two hundred: by class they are as likely as all letters together.
    const reached = [...new Set(next.map(byte => classes[byte]!))]
    const wanted = reached[below(reached.length)]!
    const ofClass = next.filter(byte => classes[byte] === wanted)
    const byte = ofClass[below(ofClass.length)]!
    text.push(byte)
    state = table[state * numClasses + wanted]!
  }
  return null
}
