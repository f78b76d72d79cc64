/** Rules of operators on the rows of a stream. `d` is the gradient of the output. */
import type { GraphBuilder } from '../graph/builder.js'
import type { Value } from '../graph/ir.js'
import type { RopeAttrs, Rule } from './macro-ops.js'

export const linear: Rule<'linear'> = {
  forward: (b, [x], { weight }) => ({ outputs: [b.op('Gemm', [x, weight], { transB: 1 })], saved: null }),
  // The same file-backed weight serves both directions.
  gradient: (b, { attrs: { weight } }, [d]) => [b.op('Gemm', [d!, weight], { transB: 0 })]
}

export const swiglu: Rule<'swiglu'> = {
  forward: (b, [gate, up]) => ({ outputs: [b.mul(b.op('QuickGelu', [gate], { alpha: 1 }), up)], saved: null }),
  // s = sigmoid(gate); silu = s gate; d silu / d gate = s + silu - s silu. The sigmoid is computed again: cheaper than kept.
  gradient: (b, { inputs: [gate, up] }, [d]) => {
    const s = b.op('Sigmoid', [gate], {})
    const silu = b.mul(s, gate)
    const slope = b.add(s, b.sub(silu, b.mul(silu, s)))
    return [b.mul(b.mul(d!, up), slope), b.mul(d!, silu)]
  }
}

// The kernel refuses a sequence longer than its table even when all positions are small, so rows enter as T sequences of one.
function rotate (b: GraphBuilder, x: Value, { positions, cos, heads }: RopeAttrs, sin: Value): Value {
  return b.squeeze(b.op('RotaryEmbedding', [b.unsqueeze(x, 1), positions, cos, sin], { interleaved: 0, num_heads: heads }), 1)
}

export const rope: Rule<'rope'> = {
  forward: (b, [x], attrs) => ({ outputs: [rotate(b, x, attrs, attrs.sin)], saved: null }),
  // The transpose of a rotation is the rotation by the opposite angle.
  gradient: (b, { attrs }, [d]) => [rotate(b, d!, attrs, attrs.negativeSin)]
}

export const concatRows: Rule<'concatRows'> = {
  forward: (b, [first, second], { rows }) => ({
    outputs: [b.op('Concat', [first, second], { axis: 0 }, { shape: [rows, ...first.shape.slice(1)] })],
    saved: null
  }),
  gradient: (b, { inputs: [first, second] }, [d], wanted) => {
    const cut = first.shape[0] as number
    const slice = (start: number, end: number, rows: Value): Value =>
      b.op('Slice', [d!, b.integers(start), b.integers(end), b.integers(0)], {}, { shape: rows.shape })
    return [
      wanted[0] === true ? slice(0, cut, first) : null,
      wanted[1] === true ? slice(cut, Number.MAX_SAFE_INTEGER, second) : null
    ]
  }
}

export const splitColumns: Rule<'splitColumns'> = {
  forward: (b, [x], { parts }) => {
    const size = (x.shape[1] as number) / parts
    return { outputs: b.node('Split', [x, b.integers(...Array.from({ length: parts }, () => size))], { axis: 1 }), saved: null }
  },
  gradient: (b, { outputs }, gradients) => [b.op('Concat', outputs.map((output, i) => gradients[i] ?? b.zerosLike(output)), { axis: 1 })]
}

export const gatherRows: Rule<'gatherRows'> = {
  forward: (b, [x], { rows }) => ({ outputs: [b.gather(x, rows)], saved: null }),
  gradient: (b, { inputs: [x], attrs: { rows } }, [d]) => [b.op('ScatterND', [b.zerosLike(x), b.unsqueeze(rows, -1), d!], { reduction: 'add' })]
}
