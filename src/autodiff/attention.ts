import type { GraphBuilder } from '../graph/builder.js'
import { product, quotient } from '../graph/dims.js'
import type { Value } from '../graph/ir.js'
import type { Rule } from './macro-ops.js'

/** The rows [.., D] of all groups, put back into the order of the stream: [T, H·D]. */
function backToStream (b: GraphBuilder, groups: readonly Value[], inverse: Value, like: Value, headSize: number): Value {
  const flat = groups.map(group => b.reshape(group, [product(...group.shape.slice(0, -1)), headSize]))
  const all = flat.length === 1 ? flat[0]! : b.op('Concat', flat, { axis: 0 }, { shape: ['attended', headSize] })
  return b.reshape(b.gather(all, inverse), like.shape)
}

/** A = softmax(Q Kᵀ / √D + mask), O = A V, per group. */
export const attention: Rule<'attention'> = {
  forward: (b, [q, k, v], { groups, inverse, headSize }) => {
    const heads = { q: b.splitRows(q, headSize), k: b.splitRows(k, headSize), v: b.splitRows(v, headSize) }
    const saved = groups.map(group => {
      const queries = b.gather(heads.q, group.queries)
      const keys = b.gather(heads.k, group.keys)
      const values = b.gather(heads.v, group.keys)
      const scores = b.add(b.matmul(queries, keys, { transB: true, alpha: headSize ** -0.5 }), group.mask)
      return { queries, keys, values, probabilities: b.op('Softmax', [scores], { axis: -1 }) }
    })
    const attended = saved.map(({ probabilities, values }) => b.matmul(probabilities, values))
    return { outputs: [backToStream(b, attended, inverse, q, headSize)], saved: { groups: saved } }
  },

  // dV = Aᵀ dO; dA = dO Vᵀ; dS = A dA - A rowsum(A dA); dQ = dS K / √D; dK = dSᵀ Q / √D.
  gradient: (b, { inputs: [q, k, v], attrs, saved }, [d], wanted) => {
    const { groups, headSize, sharedRows } = attrs
    const alpha = headSize ** -0.5
    const dRows = b.splitRows(d!, headSize)
    const parts = saved.groups.map(({ queries, keys, values, probabilities }, i) => {
      const dOutput = b.gather(dRows, groups[i]!.queries)
      const weighted = b.mul(probabilities, b.matmul(dOutput, values, { transB: true }))
      const dScores = b.sub(weighted, b.mul(probabilities, b.sum(weighted, -1, true)))
      return {
        queries: b.matmul(dScores, keys, { alpha }),
        keys: b.matmul(dScores, queries, { transA: true, alpha }),
        values: b.matmul(probabilities, dOutput, { transA: true })
      }
    })
    const last = parts.at(-1)!

    /** Rows behind the shared ones read their own gradient; a shared row sums over the examples, and over its own group. */
    const dKeyRows = (which: 'keys' | 'values', like: Value): Value => {
      const dHeads = last[which]
      const width = like.shape[1] as number
      const kvHeads = width / headSize
      const flat = b.reshape(dHeads, [product(...dHeads.shape.slice(0, -1)), headSize])
      const own = b.reshape(b.gather(flat, attrs.inverseKeys), [quotient(attrs.inverseKeys.shape[0]!, kvHeads)!, width])
      if (sharedRows === 0) return own
      const cut = b.op('Slice', [dHeads, b.integers(0), b.integers(sharedRows), b.integers(2)], {})
      const overExamples = b.sum(cut, 0, true)
      const shared = parts.length === 1 ? overExamples : b.add(overExamples, parts[0]![which])
      const rows = b.reshape(b.transpose(shared, 0, 2, 1, 3), [sharedRows, width])
      return b.op('Concat', [rows, own], { axis: 0 }, { shape: like.shape })
    }
    return [
      wanted[0] === true ? backToStream(b, parts.map(part => part.queries), attrs.inverse, q, headSize) : null,
      wanted[1] === true ? dKeyRows('keys', k) : null,
      wanted[2] === true ? dKeyRows('values', v) : null
    ]
  }
}
