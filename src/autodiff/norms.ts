import type { GraphBuilder } from '../graph/builder.js'
import type { Value } from '../graph/ir.js'
import type { Rule } from './macro-ops.js'

/** y = x r w with r = 1 / rms(x). With g = d w: dx = r g - x r³ mean(g x). */
function normGradient (b: GraphBuilder, x: Value, r: Value, gain: Value, d: Value): Value {
  const g = b.mul(d, gain)
  const mean = b.op('ReduceMean', [b.mul(g, x), b.integers(-1)], { keepdims: 1 })
  return b.sub(b.mul(g, r), b.mul(x, b.mul(b.mul(r, b.mul(r, r)), mean)))
}

export const rmsNorm: Rule<'rmsNorm'> = {
  forward: (b, [x], { gain, epsilon }) => {
    const [y, inverseRms] = b.node('SimplifiedLayerNormalization', [x, gain], { axis: -1, epsilon, stash_type: 1 })
    return { outputs: [y], saved: { inverseRms } }
  },
  gradient: (b, { inputs: [x], attrs: { gain }, saved: { inverseRms } }, [d]) => [normGradient(b, x, inverseRms, gain, d!)]
}

export const addNorm: Rule<'addNorm'> = {
  forward: (b, [x, delta], { gain, epsilon }) => {
    const [normed, , inverseRms, sum] = b.node('SkipSimplifiedLayerNormalization', [x, delta, gain], { epsilon })
    return { outputs: [sum, normed], saved: { inverseRms } }
  },
  gradient: (b, { outputs: [sum], attrs: { gain }, saved: { inverseRms } }, [dSum, dNormed]) => {
    const through = dNormed === undefined ? null : normGradient(b, sum, inverseRms, gain, dNormed)
    const d = through === null ? dSum! : dSum === undefined ? through : b.add(through, dSum)
    return [d, d]
  }
}
