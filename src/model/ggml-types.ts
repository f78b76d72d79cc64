import { MalformedModelError } from '../errors.js'

/** Layout of one number format of GGUF: `blockBytes` bytes hold `blockValues` consecutive values of a row. */
export interface GgmlLayout { readonly blockValues: number, readonly blockBytes: number }

/** The formats that can be read, with the ids of ggml.h. */
export const GGML_LAYOUTS = {
  F32: { blockValues: 1, blockBytes: 4 },
  F16: { blockValues: 1, blockBytes: 2 },
  BF16: { blockValues: 1, blockBytes: 2 },
  Q4_0: { blockValues: 32, blockBytes: 18 },
  Q4_1: { blockValues: 32, blockBytes: 20 },
  Q5_0: { blockValues: 32, blockBytes: 22 },
  Q5_1: { blockValues: 32, blockBytes: 24 },
  Q8_0: { blockValues: 32, blockBytes: 34 },
  Q2_K: { blockValues: 256, blockBytes: 84 },
  Q3_K: { blockValues: 256, blockBytes: 110 },
  Q4_K: { blockValues: 256, blockBytes: 144 },
  Q5_K: { blockValues: 256, blockBytes: 176 },
  Q6_K: { blockValues: 256, blockBytes: 210 }
} as const satisfies Record<string, GgmlLayout>
export type GgmlType = keyof typeof GGML_LAYOUTS

const READABLE = new Map<number, GgmlType>([
  [0, 'F32'], [1, 'F16'], [2, 'Q4_0'], [3, 'Q4_1'], [6, 'Q5_0'], [7, 'Q5_1'], [8, 'Q8_0'],
  [10, 'Q2_K'], [11, 'Q3_K'], [12, 'Q4_K'], [13, 'Q5_K'], [14, 'Q6_K'], [30, 'BF16']
])
const INTEGERS = new Map([[24, 'I8'], [25, 'I16'], [26, 'I32'], [27, 'I64']])
// Q4_2, Q4_3, Q4_0_4_4, Q4_0_4_8, Q4_0_8_8, IQ4_NL_4_4, IQ4_NL_4_8, IQ4_NL_8_8
const WITHDRAWN = new Set([4, 5, 31, 32, 33, 36, 37, 38])
const UNSUPPORTED = new Map([
  [9, 'Q8_1'], [15, 'Q8_K'], [16, 'IQ2_XXS'], [17, 'IQ2_XS'], [18, 'IQ3_XXS'], [19, 'IQ1_S'], [20, 'IQ4_NL'], [21, 'IQ3_S'],
  [22, 'IQ2_S'], [23, 'IQ4_XS'], [28, 'F64'], [29, 'IQ1_M'], [34, 'TQ1_0'], [35, 'TQ2_0'], [39, 'MXFP4']
])

/** @throws MalformedModelError naming the tensor and its type when the type cannot be read */
export function ggmlType (id: number, tensor: string): GgmlType {
  const type = READABLE.get(id)
  if (type !== undefined) return type
  const integer = INTEGERS.get(id)
  if (integer !== undefined) throw new MalformedModelError(`tensor ${tensor} has type ${integer}: integers are no weights`)
  if (WITHDRAWN.has(id)) throw new MalformedModelError(`tensor ${tensor} has type ${id}, which was withdrawn from GGUF`)
  const name = UNSUPPORTED.get(id)
  if (name === undefined) throw new MalformedModelError(`tensor ${tensor} has type ${id}, which does not exist`)
  throw new MalformedModelError(`tensor ${tensor} has type ${name}, which is not supported; supported are ${Object.keys(GGML_LAYOUTS).join(', ')}`)
}
