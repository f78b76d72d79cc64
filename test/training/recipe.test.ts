import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Value } from '@sinclair/typebox/value'
import { RecipeRequestSchema } from '../../src/training/job.js'
import { completeRecipe, validationRows } from '../../src/training/recipe.js'

function steps (rows: number): number {
  return completeRecipe({}, { kind: 'classification', rows }).recipe.max_steps
}

function length (recipe: { epochs?: number, max_steps?: number }): { epochs: number, max_steps: number } {
  const { epochs, max_steps } = completeRecipe({ recipe }, { kind: 'classification', rows: 1_000 }).recipe
  return { epochs, max_steps }
}

suite('completeRecipe()', () => {
  test('gives a classification task a prefix of 16 and the measured recipe', () => {
    assert.deepEqual(completeRecipe({}, { kind: 'classification', rows: 1_000 }), {
      method: { type: 'prefix-tuning', num_virtual_tokens: 16, init: { type: 'text' } },
      recipe: {
        optimizer: 'adamw', learning_rate: 5e-3, label_learning_rate: 5e-3, weight_decay: 0, schedule: 'cosine', warmup_ratio: 0.06,
        max_grad_norm: 1, batch_size: 16, max_steps: 250, epochs: 4, micro_batch_tokens: 1024, max_length: 512,
        token_dropout: 0.1, evaluations: 4, patience: 0, seed: 0
      }
    })
  })

  test('gives a generation task a prefix of 20 and batches of 8', () => {
    const { method, recipe } = completeRecipe({}, { kind: 'generation', rows: 1_000 })
    assert.equal(method.num_virtual_tokens, 20)
    assert.deepEqual({ batch: recipe.batch_size, steps: recipe.max_steps, epochs: recipe.epochs, labels: recipe.label_learning_rate }, { batch: 8, steps: 250, epochs: 2, labels: 0 })
  })

  test('runs 250 to 650 steps over any usual number of rows, within a tenth of what was measured', () => {
    for (const [rows, measured] of [[1_000, 246], [2_000, 236], [4_955, 630]] as const) assert.ok(Math.abs(steps(rows) - measured) <= measured / 10, `${rows} rows: ${steps(rows)} steps, measured with ${measured}`)
    assert.equal(steps(900), 250)
    assert.equal(steps(1_000_000), 650)
    for (let rows = 63; rows < 20_000; rows += 37) assert.ok(steps(rows) >= 250 && steps(rows) <= 650)
  })

  test('does not read a handful of rows more than 64 times', () => {
    const { recipe } = completeRecipe({}, { kind: 'classification', rows: 20 })
    assert.deepEqual({ steps: recipe.max_steps, epochs: recipe.epochs }, { steps: 80, epochs: 64 })
    assert.equal(completeRecipe({}, { kind: 'generation', rows: 1 }).recipe.max_steps, 8)
  })

  test('sees the same rows with another batch size', () => {
    const { recipe } = completeRecipe({ recipe: { batch_size: 32 } }, { kind: 'classification', rows: 1_000 })
    assert.deepEqual({ steps: recipe.max_steps, epochs: recipe.epochs }, { steps: 125, epochs: 4 })
  })

  test('derives steps from epochs and epochs from steps, and takes the shorter run of both', () => {
    assert.deepEqual(length({ epochs: 3 }), { epochs: 3, max_steps: 188 })
    assert.deepEqual(length({ max_steps: 100 }), { epochs: 1.6, max_steps: 100 })
    assert.deepEqual(length({ epochs: 3, max_steps: 100 }), { epochs: 1.6, max_steps: 100 })
    assert.deepEqual(length({ epochs: 1, max_steps: 100 }), { epochs: 1, max_steps: 63 })
    assert.deepEqual(length({ epochs: 0.001 }), { epochs: 0.001, max_steps: 1 })
  })

  test('gives prompt tuning 20 tokens and AdamW at 3e-3, or Adafactor at a constant 0.3 when asked', () => {
    const adamw = completeRecipe({ method: { type: 'prompt-tuning' } }, { kind: 'classification', rows: 1_000 })
    assert.deepEqual(adamw.method, { type: 'prompt-tuning', num_virtual_tokens: 20, init: { type: 'text' } })
    assert.equal(adamw.recipe.learning_rate, 3e-3)
    const { recipe } = completeRecipe({ method: { type: 'prompt-tuning' }, recipe: { optimizer: 'adafactor' } }, { kind: 'classification', rows: 1_000 })
    assert.deepEqual({ rate: recipe.learning_rate, schedule: recipe.schedule, warmup: recipe.warmup_ratio, decay: recipe.weight_decay }, { rate: 0.3, schedule: 'constant', warmup: 0, decay: 1e-5 })
  })

  test('keeps everything that was asked for', () => {
    const asked = {
      optimizer: 'adafactor', learning_rate: 0.1, label_learning_rate: 0.2, weight_decay: 0.3, schedule: 'cosine', warmup_ratio: 0.4, max_grad_norm: 5,
      batch_size: 6, max_steps: 7, epochs: 7 * 6 / 100, micro_batch_tokens: 88, max_length: 99, token_dropout: 0.2, evaluations: 10, patience: 11, seed: 12
    } as const
    const method = { type: 'prompt-tuning', num_virtual_tokens: 3, init: { type: 'vocabulary' } } as const
    assert.deepEqual(completeRecipe({ method, recipe: asked }, { kind: 'generation', rows: 100 }), { method, recipe: asked })
  })

  test('takes an option that is given as undefined for one that is not given', () => {
    assert.deepEqual(completeRecipe({ recipe: { seed: undefined, learning_rate: undefined } }, { kind: 'generation', rows: 9 }), completeRecipe({}, { kind: 'generation', rows: 9 }))
  })

  test('is a recipe that the schema accepts', () => {
    for (const kind of ['classification', 'generation'] as const) {
      for (const rows of [1, 10, 1_000, 1_000_000]) assert.ok(Value.Check(RecipeRequestSchema, completeRecipe({}, { kind, rows }).recipe))
    }
  })

  test('fits the base', () => {
    assert.equal(completeRecipe({}, { kind: 'classification', rows: 100, contextLength: 128 }).recipe.max_length, 112)
    assert.throws(() => completeRecipe({}, { kind: 'classification', rows: 100, contextLength: 20 }), { code: 'invalid_request', param: 'method/num_virtual_tokens' })
    assert.throws(() => completeRecipe({ recipe: { max_length: 500 } }, { kind: 'classification', rows: 100, contextLength: 512 }), { code: 'invalid_request', param: 'recipe/max_length' })
  })

  test('asks for no more of a worker than it has the memory for', () => {
    const context = { kind: 'classification', rows: 1_000, maxMicroBatchTokens: 256 } as const
    const { recipe } = completeRecipe({}, context)
    assert.deepEqual([recipe.micro_batch_tokens, recipe.max_length], [256, 256])
    for (const name of ['micro_batch_tokens', 'max_length']) {
      assert.throws(() => completeRecipe({ recipe: { [name]: 257 } }, context), { code: 'invalid_request', param: `recipe/${name}`, message: new RegExp(`${name} 257, limit 256`) })
      assert.equal(completeRecipe({ recipe: { [name]: 256 } }, context).recipe.max_length, 256)
    }
  })
})

test('validationRows() is a tenth, at most 500', () => {
  assert.deepEqual([1, 9, 10, 1_000, 1_009, 5_000, 50_000].map(validationRows), [1, 1, 1, 100, 100, 500, 500])
})
