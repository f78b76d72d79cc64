import assert from 'node:assert/strict'
import { test } from 'node:test'
import { servingGraph } from '../../../src/model/families/llama-serving.js'
import { calibrationGraph, keyValueGraph } from '../../../src/model/families/llama-text.js'
import { trainingGraph } from '../../../src/model/families/llama-training.js'
import { batchPlan } from '../../../src/model/batch-plan.js'
import { maxDifference } from '../../support/numbers.js'
import { evaluate, float32, int64, openSession } from '../../support/ort.js'
import { Slots } from '../../support/slots.js'
import { tinyLlama } from '../../support/tiny-llama.js'

const TEXT = [3, 14, 15, 92, 65]

test('keys and values of a text are those that serving writes, in the layout of a prefix', async () => {
  const base = tinyLlama()
  try {
    const { config } = base
    const { prefix } = await evaluate(keyValueGraph(base), base.folder, { ids: int64(TEXT, TEXT.length) })
    const session = await openSession(servingGraph({ ...base, format: 'float32', attention: 'fused', maxPositions: 64 }), base.folder)
    const slots = new Slots(session, config, { slots: 1, positions: 16 })
    await slots.run({ ids: [TEXT], lengths: [TEXT.length] })
    const { numLayers, numKvHeads, headSize } = config
    const served: number[] = []
    for (let p = 0; p < TEXT.length; p++) {
      for (let layer = 0; layer < numLayers; layer++) {
        for (const part of ['k', 'v']) {
          for (let h = 0; h < numKvHeads; h++) served.push(...slots.arena[`${part}_${layer}`]!.subarray((h * 16 + p) * headSize, (h * 16 + p + 1) * headSize))
        }
      }
    }
    assert.ok(maxDifference(prefix!, served) <= 1e-5, `differ by ${maxDifference(prefix!, served)}`)
    await session.release()
  } finally {
    base.dispose()
  }
})

test('a text as prefix gives the logits of the text in front', async () => {
  const base = tinyLlama({ headSize: 12 })
  try {
    const { config } = base
    const { prefix } = await evaluate(keyValueGraph(base), base.folder, { ids: int64(TEXT, TEXT.length) })
    const labelRows = Float32Array.from({ length: 2 * config.hiddenSize }, (_, i) => Math.sin(i))
    const placement = { method: 'prefix-tuning', numVirtualTokens: TEXT.length } as const
    const { feeds } = batchPlan({ ...placement, config, objective: 'labels', numLabels: 2, examples: [{ ids: [7, 8, 9], label: 0 }] })
    const { label_logits: behindPrefix } = await evaluate(trainingGraph({ ...placement, ...base, objective: 'labels', gradients: false }), base.folder, {
      ...feeds, label_matrix: float32(labelRows, 2, config.hiddenSize), prompt: float32(prefix!, TEXT.length, prefix!.length / TEXT.length)
    })
    const session = await openSession(servingGraph({ ...base, format: 'float32', attention: 'plain', maxPositions: 64 }), base.folder)
    const { hidden } = await new Slots(session, config, { slots: 1, positions: 16 }).run({ ids: [[...TEXT, 7, 8, 9]], lengths: [8], hiddenRows: [7], logitRows: [] })
    const whole = [0, 1].map(c => hidden.reduce((all, value, i) => all + value * labelRows[c * config.hiddenSize + i]!, 0))
    assert.ok(maxDifference(behindPrefix!, whole) <= 1e-4, `${behindPrefix!.join()} and ${whole.join()}`)
    await session.release()
  } finally {
    base.dispose()
  }
})

test('calibration sees the largest input of each down projection', async () => {
  const base = tinyLlama()
  try {
    const alone = await evaluate(calibrationGraph(base), base.folder, { ids: int64(TEXT, TEXT.length) })
    const { numLayers, intermediateSize } = base.config
    assert.deepEqual(Object.keys(alone).sort(), Array.from({ length: numLayers }, (_, layer) => `down_input_max_${layer}`))
    // Causal: a longer text has the shorter one's rows and more, so no maximum falls.
    const longer = await evaluate(calibrationGraph(base), base.folder, { ids: int64([...TEXT, 35], TEXT.length + 1) })
    let grown = 0
    for (const [name, values] of Object.entries(alone)) {
      assert.equal(values.length, intermediateSize)
      assert.ok(values.every((value, i) => value > 0 && longer[name]![i]! >= value - 1e-5))
      grown += values.filter((value, i) => longer[name]![i]! > value + 1e-5).length
    }
    assert.ok(grown > 0)
  } finally {
    base.dispose()
  }
})
