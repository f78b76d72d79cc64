/** Cross-entropy over frozen vocabulary rows and over trained label rows. The loss is a weighted sum, never a mean. */
import type { GraphBuilder } from '../graph/builder.js'
import { quotient } from '../graph/dims.js'
import type { Value } from '../graph/ir.js'
import type { Rule } from './macro-ops.js'

const weightedSum = (b: GraphBuilder, losses: Value, weight: Value): Value => b.sum(b.mul(losses, weight), 0, false)

/**
 * Losses and hidden gradients of a few rows. With p = softmax(h Wᵀ): dh = weight (p W - W[label]); p - onehot, which is
 * as large as the logits, is never formed. -log p[label] = log Σ exp(l - max) - (l[label] - max), and the sum is 1 / max p.
 */
function chunkLoss (b: GraphBuilder, hidden: Value, labels: Value, weight: Value, table: Value): { loss: Value, dHidden: Value } {
  const logits = b.op('Gemm', [hidden, table], { transB: 1 })
  const probabilities = b.op('Softmax', [logits], { axis: -1 })
  const top = (x: Value): Value => b.op('ReduceMax', [x, b.integers(-1)], { keepdims: 1 })
  const atLabel = b.op('GatherElements', [logits, b.unsqueeze(labels, -1)], { axis: 1 })
  const losses = b.sub(b.sub(top(logits), atLabel), b.op('Log', [top(probabilities)], {}))
  const difference = b.sub(b.op('Gemm', [probabilities, table], { transB: 0 }), b.gather(table, labels))
  return { loss: weightedSum(b, b.squeeze(losses, -1), weight), dHidden: b.mul(difference, b.unsqueeze(weight, -1)) }
}

export const tokenLoss: Rule<'tokenLoss'> = {
  // A Scan, so that the logits of one chunk exist at a time; it computes the gradient too while it has them.
  forward: (b, [hidden], { table, labels, weight, chunk }, differentiate) => {
    const width = hidden.shape[1] as number
    const body = b.body('loss_chunk')
    const { loss, dHidden } = chunkLoss(
      body,
      body.input('chunk_hidden', 'float32', [chunk, width]),
      body.input('chunk_labels', 'int64', [chunk]),
      body.input('chunk_weight', 'float32', [chunk]),
      table
    )
    body.output(loss)
    if (differentiate) body.output(dHidden)
    const chunks = quotient(hidden.shape[0]!, chunk)
    if (chunks === null) throw new Error(`internal: ${hidden.shape[0]} rows are no whole number of chunks of ${chunk}`)
    const [losses, dChunks] = b.node('Scan', [
      b.reshape(hidden, [chunks, chunk, width]), b.reshape(labels, [chunks, chunk]), b.reshape(weight, [chunks, chunk])
    ], { body: body.finish(), num_scan_inputs: 3 })
    return {
      outputs: [b.sum(losses!, 0, false)],
      saved: { dHidden: dChunks === undefined ? null : b.reshape(dChunks, hidden.shape) }
    }
  },
  gradient: (b, { saved }, [d]) => [b.mul(saved.dHidden!, d!)]
}

export const labelLoss: Rule<'labelLoss'> = {
  forward: (b, [hidden, labelMatrix], { labels, weight }) => {
    const logits = b.op('Gemm', [hidden, labelMatrix], { transB: 1 })
    const logProbabilities = b.op('LogSoftmax', [logits], { axis: -1 })
    const atLabel = b.op('GatherElements', [logProbabilities, b.unsqueeze(labels, -1)], { axis: 1 })
    return { outputs: [b.op('Neg', [weightedSum(b, b.squeeze(atLabel, -1), weight)], {}), logits], saved: { logProbabilities } }
  },
  // dl = weight (p - onehot): small here, a row per label. dh = dl M; dM = dlᵀ h.
  gradient: (b, { inputs: [hidden, labelMatrix], outputs: [, logits], attrs: { labels, weight }, saved }, [dLoss, dLogits], wanted) => {
    if (dLogits !== undefined) throw new Error('internal: the logits of labelLoss are for reading only')
    const count = b.op('Shape', [labelMatrix], { start: 0, end: 1 })
    const onehot = b.op('OneHot', [labels, count, b.constant('float32', [2], Float32Array.of(0, 1))], { axis: -1 }, { shape: logits.shape })
    const scale = b.unsqueeze(b.mul(weight, dLoss!), -1)
    const d = b.mul(b.sub(b.op('Exp', [saved.logProbabilities], {}), onehot), scale)
    return [
      wanted[0] === true ? b.matmul(d, labelMatrix) : null,
      wanted[1] === true ? b.matmul(d, hidden, { transA: true }) : null
    ]
  }
}
