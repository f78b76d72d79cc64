/** What is measured of every subject, and what is wanted of the ratios. */
import { LLAMA_AS_SHIPPED, LLAMA_Q8 } from './peers.js'
import { WITHOUT_PROMPTS } from './own-engine.js'
import { PEFT } from './peft.js'
import { decodeRate, firstTokenMs, type Load, type Row, type Run, wholeRate } from './subject.js'

export const VIRTUAL_TOKENS = 20
export const MOST_ROWS = 16
const DECODE_INPUT = 120
const DECODE_TOKENS = 32
const PREFILLS = [128, 512]

/** Positions that the longest case takes, with some to spare. */
export const CONTEXT = 640

export interface Case {
  readonly name: string
  readonly unit: 'tokens/s' | 'ms'
  /** Cases of the same load measure the same runs. */
  readonly load: Load
  readonly measure: (run: Run) => number
  /** By the other's name: bound of our median ratio to it. */
  readonly wanted: Readonly<Record<string, Bound>>
}

export type Bound = { readonly atLeast: number } | { readonly atMost: number }

const MANY = { [LLAMA_AS_SHIPPED]: { atLeast: 2.5 }, [LLAMA_Q8]: { atLeast: 2.5 }, [PEFT]: { atLeast: 5 } }

/** @param text ids that go round, from which contexts and inputs are cut */
export function servingCases (text: readonly number[]): Case[] {
  const rowsOf = (rows: number, inputLength: number): Row[] => Array.from({ length: rows }, (_, prompt) => ({
    prompt, context: cutFrom(text, VIRTUAL_TOKENS, 100 * prompt), input: cutFrom(text, inputLength, 100 * prompt + VIRTUAL_TOKENS)
  }))
  // Rows taken in early decode while later ones are taken in, two tokens for each: DECODE_TOKENS are left when all decode.
  const loadOf = (rows: number): Load => ({ rows: rowsOf(rows, DECODE_INPUT), maxTokens: DECODE_TOKENS + 2 * rows })
  const decode = (load: Load, wanted: Case['wanted']): Case => ({
    name: `decode of ${load.rows.length} ${load.rows.length === 1 ? 'row' : 'rows, each its own task'}`,
    unit: 'tokens/s',
    load,
    measure: decodeRate,
    wanted: { [WITHOUT_PROMPTS]: { atLeast: 0.97 }, ...wanted }
  })
  const mixed = (rows: number): Case[] => {
    const load = loadOf(rows)
    return [decode(load, MANY), {
      name: `${rows} requests, each its own task: ${DECODE_INPUT} tokens in, ${load.maxTokens} out`,
      unit: 'tokens/s',
      load,
      measure: wholeRate,
      wanted: { [PEFT]: MANY[PEFT] }
    }]
  }
  const prefill = (tokens: number): Case => ({
    name: `prefill of ${tokens} tokens`,
    unit: 'ms',
    load: { rows: rowsOf(1, tokens), maxTokens: 1 },
    measure: firstTokenMs,
    wanted: { [LLAMA_AS_SHIPPED]: { atMost: 0.7 }, [LLAMA_Q8]: { atMost: 0.7 } }
  })
  return [decode(loadOf(1), { [LLAMA_AS_SHIPPED]: { atLeast: 1 / 1.2 }, [LLAMA_Q8]: { atLeast: 1 } }), ...[8, MOST_ROWS].flatMap(mixed), ...PREFILLS.map(prefill)]
}

function cutFrom (ids: readonly number[], length: number, start: number): number[] {
  return Array.from({ length }, (_, i) => ids[(start + i) % ids.length]!)
}

export function keeps (ratio: number, bound: Bound): boolean {
  return 'atLeast' in bound ? ratio >= bound.atLeast : ratio <= bound.atMost
}

export function shown (bound: Bound): string {
  return 'atLeast' in bound ? `>= ${bound.atLeast.toFixed(2)}` : `<= ${bound.atMost.toFixed(2)}`
}
