import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import type { JobProgressEvent, Recipe, TrainingJobData } from '../../src/training/job.js'
import type { MicroBatch } from '../../workers/batches.js'
import { decodeCheckpoint, encodeCheckpoint } from '../../workers/checkpoint.js'
import type { Example } from '../../workers/example.js'
import { type LoopOptions, trainingLoop } from '../../workers/loop.js'
import type { Parameter, ParameterValues } from '../../workers/parameter.js'
import type { Metrics, TrainingModel } from '../../workers/training-model.js'
import { initialState, type TrainingState } from '../../workers/training-state.js'

const recipe: Recipe = {
  optimizer: 'adamw', learning_rate: 0.1, label_learning_rate: 0.05, weight_decay: 0, schedule: 'cosine', warmup_ratio: 0.1, max_grad_norm: 1,
  batch_size: 4, max_steps: 40, epochs: 8, micro_batch_tokens: 8, max_length: 64, token_dropout: 0, evaluations: 4, patience: 0, seed: 5
}
const data: TrainingJobData = {
  schema: 1, job: 'job', tenant: 't', task: 'task', spec: { kind: 'generation', template: '{input}', verbalizer: null }, base: `sha256:${'0'.repeat(64)}`,
  trainingFile: 'file', validationFile: null, method: { type: 'prompt-tuning', num_virtual_tokens: 4, init: { type: 'random' } }, recipe, alias: null
}

/** Twenty points on a line; row i wants the parameters to be i / 10. */
const examples: Example[] = Array.from({ length: 20 }, (_, i) => ({ ids: Array.from({ length: 1 + i % 7 }, () => i), targetStart: 1 + i % 7, label: i % 2 }))

/** loss = mean over rows of |parameters - row / 10|², evaluated as is. */
class Quadratic implements TrainingModel {
  calls = 0
  readonly seen: number[][] = []
  onCall: (call: number) => void = () => {}
  metrics: (call: number, loss: number) => Metrics = (_, loss) => ({ loss, accuracy: 1 / (1 + loss) })
  #evaluations = 0

  async lossAndGradients (parameters: ParameterValues, { examples: rows, totalPredictions }: MicroBatch, signal: AbortSignal): Promise<{ loss: number, gradients: Float32Array[] }> {
    this.onCall(++this.calls)
    signal.throwIfAborted()
    this.seen.push(rows.map(row => row.ids[0]!))
    let loss = 0
    const gradients = parameters.map(values => new Float32Array(values.length))
    for (const { ids } of rows) {
      parameters.forEach((values, k) => values.forEach((value, i) => {
        loss += (value - ids[0]! / 10) ** 2 / totalPredictions
        gradients[k]![i]! += 2 * (value - ids[0]! / 10) / totalPredictions
      }))
    }
    return { loss, gradients }
  }

  async evaluate (parameters: ParameterValues, signal: AbortSignal): Promise<Metrics> {
    signal.throwIfAborted()
    const loss = parameters.flatMap(values => [...values]).reduce((sum, value) => sum + (value - 0.95) ** 2, 0)
    return this.metrics(this.#evaluations++, loss)
  }
}

const freshParameters = (): Parameter[] => [
  { name: 'prompt', dims: [2, 3], values: Float32Array.of(4, -3, 2, 1, 0, -5) },
  { name: 'label_vectors', dims: [2, 1], values: Float32Array.of(-2, 2) }
]

function run (overrides: Partial<LoopOptions> & { recipe?: Recipe } = {}): { options: LoopOptions, events: JobProgressEvent[], saved: TrainingState[] } {
  const events: JobProgressEvent[] = []
  const saved: TrainingState[] = []
  let clock = 0
  const ownData = { ...data, recipe: overrides.recipe ?? recipe }
  return {
    events,
    saved,
    options: {
      kind: 'classification', recipe, examples, model: new Quadratic(), state: initialState(freshParameters(), overrides.recipe ?? recipe),
      checkpoint: async state => { saved.push(decodeCheckpoint(ownData, encodeCheckpoint(ownData, state))!) },
      checkpointEveryMs: 1000, emit: event => { events.push(event) }, now: () => clock += 100, signal: new AbortController().signal,
      ...overrides
    }
  }
}

suite('trainingLoop()', () => {
  test('minimises, reports, evaluates evenly and on the last step, and keeps the best', async () => {
    const { options, events, saved } = run()
    const best = await trainingLoop(options)
    const evaluations = events.filter(event => event.type === 'evaluation')
    assert.deepEqual(evaluations.map(event => event.step), [10, 20, 30, 40])
    assert.ok(best.metrics['loss']! < 25, `loss ${best.metrics['loss']}`)
    const steps = events.filter(event => event.type === 'step')
    assert.equal(steps.at(-1)!.step, 40)
    assert.ok(steps.length > 1 && steps.length < 40)
    assert.ok(steps.at(-1)!.loss < steps[0]!.loss)
    assert.equal(steps.at(-1)!.eta_seconds, 0)
    assert.ok(saved.length > 1)
    assert.deepEqual(events.filter(event => event.type === 'checkpoint').map(event => event.step), saved.map(state => state.step))
  })

  test('the same seed gives the same run, another seed another', async () => {
    const [first, second, other] = [run(), run(), run({ recipe: { ...recipe, seed: 6 } })]
    const values = [await trainingLoop(first.options), await trainingLoop(second.options), await trainingLoop(other.options)].map(best => best.values)
    assert.deepEqual(values[1], values[0])
    assert.notDeepEqual(values[2], values[0])
  })

  for (const optimizer of ['adamw', 'adafactor'] as const) {
    test(`${optimizer}: a run resumed from any checkpoint ends bit for bit as an uninterrupted one`, async () => {
      const ownRecipe = { ...recipe, optimizer }
      const ownData = { ...data, recipe: ownRecipe }
      const states: Uint8Array[] = []
      const whole = run({ recipe: ownRecipe, checkpoint: async state => { states.push(encodeCheckpoint(ownData, state)) }, checkpointEveryMs: 0 })
      const best = await trainingLoop(whole.options)
      // One after each step and one after each of four evaluations.
      assert.equal(states.length, 44)
      for (const at of [0, 8, 9, 10, 11, 25, 42, 43]) {
        const state = decodeCheckpoint(ownData, states[at]!)!
        const resumed = run({ recipe: ownRecipe, state })
        assert.deepEqual(await trainingLoop(resumed.options), best)
        assert.deepEqual(encodeCheckpoint(ownData, state), encodeCheckpoint(ownData, whole.options.state))
      }
    })
  }

  test('a signal in the middle of a step leaves the state at the last whole step, and resuming ends as if nothing had been', async () => {
    const best = await trainingLoop(run().options)
    for (const stopAt of [1, 2, 20, 57]) {
      const controller = new AbortController()
      const model = new Quadratic()
      model.onCall = call => { if (call === stopAt) controller.abort(new Error('stop')) }
      const interrupted = run({ model, signal: controller.signal })
      await assert.rejects(trainingLoop(interrupted.options), /stop/)
      const state = decodeCheckpoint(data, encodeCheckpoint(data, interrupted.options.state))!
      assert.deepEqual(await trainingLoop(run({ state }).options), best)
    }
  })

  test('an evaluation cut off by the signal is made up for', async () => {
    const best = await trainingLoop(run().options)
    const controller = new AbortController()
    const model = new Quadratic()
    model.evaluate = async () => { controller.abort(new Error('stop')); throw controller.signal.reason }
    const interrupted = run({ model, signal: controller.signal })
    await assert.rejects(trainingLoop(interrupted.options), /stop/)
    assert.equal(interrupted.options.state.step, 10)
    const resumed = run({ state: decodeCheckpoint(data, encodeCheckpoint(data, interrupted.options.state))! })
    assert.deepEqual(await trainingLoop(resumed.options), best)
    assert.equal(resumed.events.find(event => event.type === 'evaluation')!.step, 10)
  })

  test('patience ends the run, ties in accuracy go to the lower loss, and the best stays', async () => {
    const model = new Quadratic()
    const made = [{ accuracy: 0.5, loss: 1 }, { accuracy: 0.7, loss: 3 }, { accuracy: 0.7, loss: 2 }, { accuracy: 0.6, loss: 0.1 }, { accuracy: 0.7, loss: 2 }, { accuracy: 0.9, loss: 1 }]
    model.metrics = call => made[call]!
    const { options, events } = run({ model, recipe: { ...recipe, evaluations: 10, patience: 2 } })
    const best = await trainingLoop(options)
    assert.deepEqual(best.metrics, { accuracy: 0.7, loss: 2 })
    assert.deepEqual(events.filter(event => event.type === 'evaluation').map(event => event.best), [true, true, true, false, false])
  })

  test('generation keeps the lowest loss', async () => {
    const model = new Quadratic()
    model.metrics = call => ({ loss: [3, 1, 2, 4][call]! })
    const best = await trainingLoop(run({ model, kind: 'generation' }).options)
    assert.deepEqual([best.step, best.metrics], [20, { loss: 1 }])
  })

  test('a loss or gradient that is not finite, and a loss that stays far above its start, end the job with the reason', async () => {
    const nan = new Quadratic()
    const original = nan.lossAndGradients.bind(nan)
    nan.lossAndGradients = async (...input) => ({ ...await original(...input), ...nan.calls > 20 ? { loss: NaN } : {} })
    await assert.rejects(trainingLoop(run({ model: nan }).options), (error: ServiceError) => error.code === 'not_finite' && /loss became NaN at step/.test(error.message))

    const infinite = new Quadratic()
    infinite.lossAndGradients = async parameters => ({ loss: 1, gradients: parameters.map(values => new Float32Array(values.length).fill(Infinity)) })
    await assert.rejects(trainingLoop(run({ model: infinite }).options), /gradient became Infinity at step 1/)

    const rising = new Quadratic()
    rising.lossAndGradients = async parameters => ({ loss: ++rising.calls < 60 ? 1 : 50, gradients: parameters.map(values => new Float32Array(values.length)) })
    await assert.rejects(trainingLoop(run({ model: rising, recipe: { ...recipe, max_steps: 200, micro_batch_tokens: 1024 } }).options), /above 3\.00 for 20 steps/)
  })
})

suite('checkpoints', () => {
  test('belong to one job', () => {
    const bytes = encodeCheckpoint(data, initialState(freshParameters(), recipe))
    assert.equal(decodeCheckpoint({ ...data, job: 'another' }, bytes), null)
    assert.deepEqual(decodeCheckpoint(data, bytes)!.parameters, freshParameters())
  })
})
