import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { adafactor } from '../../workers/optimizers/adafactor.js'
import { adamW } from '../../workers/optimizers/adamw.js'
import { clipFactor, globalNorm, scaleAll } from '../../workers/optimizers/clipping.js'
import type { Optimizer, OptimizerState } from '../../workers/optimizers/optimizer.js'
import { relativeStepRate, scheduledRate } from '../../workers/optimizers/schedules.js'
import { createRandom } from '../../workers/random.js'

const makers: Record<string, (saved: OptimizerState | null) => Optimizer> = {
  'AdamW': saved => adamW(12, { weightDecay: 0.1 }, saved),
  'Adafactor, factored': saved => adafactor(3, 4, { weightDecay: 0.1, factored: true }, saved),
  'Adafactor, not factored, scaled by the parameter': saved => adafactor(3, 4, { weightDecay: 0.1, factored: false, scaleByParameter: true }, saved)
}

suite('optimizers', () => {
  for (const [name, make] of Object.entries(makers)) {
    test(`${name} goes on from a saved state bit for bit`, () => {
      const random = createRandom(7)
      const gradients = Array.from({ length: 10 }, () => Float32Array.from({ length: 12 }, () => random.normal()))
      const whole = { optimizer: make(null), values: new Float32Array(12).fill(1) }
      const parted = { optimizer: make(null), values: new Float32Array(12).fill(1) }
      gradients.forEach((gradient, i) => {
        if (i === 4) parted.optimizer = make(structuredClone(parted.optimizer.state))
        whole.optimizer.update(whole.values, gradient, 0.01 * i)
        parted.optimizer.update(parted.values, gradient, 0.01 * i)
      })
      assert.deepEqual(parted.values, whole.values)
      assert.deepEqual(parted.optimizer.state, whole.optimizer.state)
    })

    test(`${name} refuses a state of another shape`, () => {
      assert.throws(() => make({ updates: 1, moments: {} }), /0 numbers/)
    })
  }

  test('the first AdamW step moves each number by the rate against the sign of its gradient, after decay', () => {
    const values = Float32Array.of(1, -2, 3)
    adamW(3, { weightDecay: 0.5 }).update(values, Float32Array.of(0.1, -7, 1e-3), 0.01)
    const expected = [1 * 0.995 - 0.01, -2 * 0.995 + 0.01, 3 * 0.995 - 0.01]
    values.forEach((value, i) => assert.ok(Math.abs(value - expected[i]!) < 1e-6, `${value} against ${expected[i]}`))
  })

  test('an Adafactor update has a root mean square of at most the threshold times the rate', () => {
    const values = new Float32Array(4)
    const optimizer = adafactor(2, 2, { weightDecay: 0, factored: false })
    optimizer.update(values, Float32Array.of(1e-3, 1e-3, 1e-3, 1e-3), 0.3)
    const before = values.slice()
    optimizer.update(values, Float32Array.of(5, -5, 5, -5), 0.3) // surprises the running mean
    const moved = values.map((value, i) => value - before[i]!)
    assert.ok(Math.abs(globalNorm([moved]) / 2 - 0.3) < 1e-6)
  })
})

suite('schedules', () => {
  const cosine = { schedule: 'cosine', learningRate: 2, warmupSteps: 4, steps: 20 } as const
  test('warm-up starts at 0 and reaches the rate, the cosine ends near 0', () => {
    assert.deepEqual([0, 1, 2, 3, 4].map(step => scheduledRate(cosine, step)), [0, 0.5, 1, 1.5, 2])
    assert.ok(Math.abs(scheduledRate(cosine, 12) - 1) < 1e-12)
    assert.ok(Math.abs(scheduledRate(cosine, 19) - 2 * (1 + Math.cos(Math.PI * 15 / 16)) / 2) < 1e-12)
    assert.equal(scheduledRate(cosine, 20), 0)
  })

  test('without warm-up step 0 has the whole rate, constant stays', () => {
    assert.equal(scheduledRate({ ...cosine, warmupSteps: 0 }, 0), 2)
    assert.equal(scheduledRate({ ...cosine, schedule: 'constant' }, 19), 2)
    assert.equal(scheduledRate({ ...cosine, steps: 1, warmupSteps: 0 }, 0), 2)
  })

  test('Adafactor\'s own rate falls with the root of the update once that is below 1e-2', () => {
    assert.equal(relativeStepRate(1), 1e-2)
    assert.equal(relativeStepRate(40_000), 1 / 200)
  })
})

suite('gradient clipping', () => {
  test('takes one norm over all tensors and never scales up', () => {
    const tensors = [Float32Array.of(3), Float32Array.of(0, 4)]
    assert.equal(globalNorm(tensors), 5)
    assert.equal(clipFactor(0.5, 1), 1)
    scaleAll(tensors, clipFactor(5, 1))
    assert.ok(Math.abs(globalNorm(tensors) - 5 / (5 + 1e-6)) < 1e-6)
  })
})
