import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { batchPlan, countLabels } from '../../src/model/batch-plan.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'

const config = { numHeads: 2, numKvHeads: 1, headSize: 8, vocabSize: 20, contextLength: 8 } as LlamaConfig
const prompt = { config, method: 'prompt-tuning', numVirtualTokens: 2 } as const
const prefix = { config, method: 'prefix-tuning', numVirtualTokens: 2 } as const

const one = (ids: number[], labels = ids): Parameters<typeof batchPlan>[0] => ({ ...prompt, objective: 'tokens', examples: [{ ids, labels }] })

suite('batchPlan()', () => {
  const examples = [{ ids: [11, 12, 13], labels: [11, -100, 13] }, { ids: [14], labels: [14] }]

  test('packs tokens, adds one null row for padding and shares the prompt rows', () => {
    const { dims, feeds } = batchPlan({ ...prompt, objective: 'tokens', examples, lossChunk: 4 })
    assert.deepEqual(dims, { examples: 2, longest: 3, rows: 7, labels: 3 })
    assert.deepEqual(Array.from(feeds['ids']!.data, Number), [11, 12, 13, 14, 0])
    assert.deepEqual(Array.from(feeds['positions']!.data, Number), [0, 1, 2, 3, 4, 2, 0])
    // Prompt rows first, then the rows of each example; example 1 is padded with row 6.
    assert.deepEqual(Array.from(feeds['keys']!.data, Number), [0, 1, 2, 3, 4, 0, 1, 5, 6, 6])
    assert.deepEqual(feeds['queries']!.dims, [2, 1, 6])
    assert.deepEqual(Array.from(feeds['queries']!.data, Number).slice(0, 6), [4, 6, 8, 5, 7, 9])
  })

  test('predicts a label from the row before it, a first token from the last prompt row', () => {
    const { feeds } = batchPlan({ ...prompt, objective: 'tokens', examples, lossChunk: 4 })
    assert.deepEqual(Array.from(feeds['rows']!.data, Number), [1, 3, 1, 0])
    assert.deepEqual(Array.from(feeds['labels']!.data, Number), [11, 13, 14, 0])
    assert.deepEqual(Array.from(feeds['weight']!.data as Float32Array), [...new Float32Array(3).fill(1 / 3), 0])
  })

  test('does not predict a first token behind a prefix', () => {
    assert.equal(countLabels('prefix-tuning', examples), 1)
    const { dims, feeds } = batchPlan({ ...prefix, objective: 'tokens', examples, lossChunk: 1 })
    assert.equal(dims.labels, 1)
    assert.deepEqual(Array.from(feeds['rows']!.data, Number), [1])
    assert.deepEqual(Array.from(feeds['positions']!.data, Number), [2, 3, 4, 2, 0])
    assert.throws(() => batchPlan({ ...prefix, objective: 'tokens', examples: examples.slice(1) }), /without labels/)
  })

  test('reads a class behind the last token', () => {
    const { feeds } = batchPlan({ ...prompt, objective: 'labels', numLabels: 3, totalLabels: 8, examples: [{ ids: [1, 2, 3], label: 2 }, { ids: [4], label: 0 }] })
    assert.deepEqual(Array.from(feeds['rows']!.data, Number), [4, 5])
    assert.deepEqual(Array.from(feeds['labels']!.data, Number), [2, 0])
    assert.deepEqual(Array.from(feeds['weight']!.data as Float32Array), [0.125, 0.125])
  })

  test('refuses what the graph would read wrongly', () => {
    assert.throws(() => batchPlan(one([1, 2, 3, 4, 5, 6, 7])), /takes 9 positions with the prompt, the graph has 8/)
    assert.throws(() => batchPlan({ ...one([1, 2, 3]), maxPositions: 4 }), /the graph has 4/)
    assert.throws(() => batchPlan(one([20])), /token 20, the vocabulary has 20/)
    assert.throws(() => batchPlan(one([1.5])), /token 1.5/)
    assert.throws(() => batchPlan(one([1], [20])), /label 20/)
    assert.throws(() => batchPlan(one([1], [])), /0 labels for 1 tokens/)
    assert.throws(() => batchPlan(one([])), /no tokens/)
    assert.throws(() => batchPlan({ ...one([1]), totalLabels: 0 }), /0 labels in the step/)
    assert.throws(() => batchPlan({ ...prompt, objective: 'tokens', examples: [] }), /without examples/)
    assert.throws(() => batchPlan({ ...prompt, objective: 'labels', numLabels: 2, examples: [{ ids: [1], label: 2 }] }), /label 2 of 2/)
  })
})
