import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ConfigError } from '../../src/config.js'
import { type MemoryPlan, type MemoryWishes, planMemory } from '../../src/inference/memory-plan.js'
import type { LlamaConfig } from '../../src/model/llama-config.js'

const MiB = 2 ** 20
const NOTHING: MemoryWishes = { budget: undefined, slots: undefined, promptCacheBytes: undefined, promptEmbeddingBytes: undefined }
/** The sizes of the default base. */
const CONFIG: LlamaConfig = {
  family: 'llama', vocabSize: 49_152, hiddenSize: 576, numLayers: 30, numHeads: 9, numKvHeads: 3, headSize: 64, intermediateSize: 1536, rmsNormEps: 1e-5,
  ropeInverseFrequencies: [], contextLength: 8192, tiedEmbeddings: true, bosTokenId: 1, eosTokenIds: [2]
}
const WEIGHTS = 240 * MiB

const plan = (wishes: Partial<MemoryWishes>): MemoryPlan => planMemory(CONFIG, 1024, WEIGHTS, { ...NOTHING, ...wishes })

suite('memory plan', () => {
  test('without a budget: the defaults, and what is set', () => {
    const { slots, slotBytes, arenaBytes, promptCacheBytes, promptEmbeddingBytes, budgetBytes } = plan({ promptCacheBytes: 7 * MiB })
    assert.deepEqual([slots, slotBytes, arenaBytes, promptCacheBytes, promptEmbeddingBytes, budgetBytes], [16, 45 * MiB, 17 * 45 * MiB, 7 * MiB, 768 * MiB, null])
    assert.equal(plan({ slots: 500 }).slots, 500)
  })

  test('the total is the sum of its parts', () => {
    for (const wishes of [{}, { slots: 3 }, { budget: 2 ** 30 }, { budget: 2 ** 32, promptCacheBytes: 5 * MiB }]) {
      const { weightBytes, processBytes, arenaBytes, keptBytes, stepBytes, promptCacheBytes, promptEmbeddingBytes, totalBytes } = plan(wishes)
      assert.equal(weightBytes, WEIGHTS)
      assert.equal(totalBytes, weightBytes + processBytes + arenaBytes + keptBytes + stepBytes + promptCacheBytes + promptEmbeddingBytes)
    }
  })

  test('a budget is used up to its end, and no further, by whatever is left open', () => {
    for (const budget of [600 * MiB, 2 ** 30, 2 ** 31, 2 ** 33 + 1]) {
      for (const wishes of [{}, { slots: 1 }, { promptCacheBytes: 20 * MiB }, { promptEmbeddingBytes: 20 * MiB }, { slots: 1, promptEmbeddingBytes: MiB }]) {
        assert.equal(plan({ budget, ...wishes }).totalBytes, budget)
      }
    }
    assert.ok(plan({ budget: 2 ** 31, promptCacheBytes: MiB, promptEmbeddingBytes: MiB }).totalBytes < 2 ** 31)
  })

  test('slots grow with the budget to the default; more of it goes to prompts, more to embeddings', () => {
    const small = plan({ budget: 2 ** 30 })
    const large = plan({ budget: 2 ** 33 })
    assert.ok(small.slots > 1 && small.slots < 16, `${small.slots} slots`)
    assert.equal(large.slots, 16)
    for (const { promptCacheBytes, promptEmbeddingBytes } of [small, large]) {
      assert.ok(Math.abs(promptEmbeddingBytes / promptCacheBytes - 1.5) < 0.01)
      assert.ok(promptCacheBytes > MiB)
    }
  })

  test('what is set stands within a budget, or the budget is refused with the numbers', () => {
    const { slots, promptCacheBytes } = plan({ budget: 2 ** 31, slots: 20, promptCacheBytes: 300 * MiB })
    assert.deepEqual([slots, promptCacheBytes], [20, 300 * MiB])
    assert.throws(() => plan({ budget: 2 ** 31, slots: 64 }), (error: unknown) => {
      assert.ok(error instanceof ConfigError)
      assert.match(error.message, /INFERENCE_MEMORY_BYTES: 2147483648 bytes, the least is \d+: 251658240 of weights, .* 64 \+ 1 slots of 47185920,/)
      return true
    })
    const least = plan({ slots: 1, promptCacheBytes: MiB, promptEmbeddingBytes: MiB }).totalBytes
    assert.equal(plan({ budget: least }).slots, 1)
    assert.throws(() => plan({ budget: least - 1 }), ConfigError)
  })
})
