/** A real small model that carries its own `reference.json` (stories260K). */
import { BaseWeights } from '../../workers/base-weights.js'
import { maxDifference, relativeL2 } from '../../test/support/numbers.js'
import { readJson, readTensors, tensor } from './fixture-files.js'
import { LOSS_TOLERANCE } from './forward.js'
import { compareGeneration, LOGITS_TOLERANCE, type RecordedGeneration } from './generated.js'
import type { Checks } from './ledger.js'
import { LossModel, plainLoss } from './loss.js'
import { ServedBase } from './served-base.js'
import { compareTokenizer, type TokenizerCase } from './tokenizer-cases.js'

interface Reference {
  readonly tokenizer: readonly TokenizerCase[]
  readonly tokenizer_not_llama2c?: readonly TokenizerCase[]
  readonly forward: ReadonlyArray<{ name: string, input_ids: number[][], labels?: string | number[][] | null, loss?: number | null }>
  readonly greedy: ReadonlyArray<RecordedGeneration & { prompt_ids: number[] }>
  readonly soft_prompt: { readonly context_ids: number[], readonly target_ids: number[], readonly loss_float64: number }
}

const KNOWN = ['versions', 'note', 'worst', 'tokenizer', 'tokenizer_not_llama2c', 'forward', 'greedy', 'smallest_greedy_margin', 'soft_prompt']
const GRADIENT_TOLERANCE = 1e-5

/** @param home takes the imported base */
export async function trainedModel (checks: Checks, folder: string, home: string): Promise<void> {
  const recorded = readJson<Reference>(folder, 'reference.json')
  for (const key of Object.keys(recorded).filter(key => !KNOWN.includes(key))) checks.fail(key, 'a reference of a kind that no check here reads')
  const tensors = readTensors(folder, 'reference.safetensors')
  const served = await ServedBase.open(folder, home)
  const weights = new BaseWeights(served.base.folder)
  const { config } = served.base.manifest
  try {
    compareTokenizer(checks, served.tokenizer, [...recorded.tokenizer, ...recorded.tokenizer_not_llama2c ?? []])
    for (const { name, input_ids: [ids], labels, loss } of recorded.forward) {
      checks.within('forward logits', name, maxDifference(await served.logits(ids!), tensor(tensors, `${name}.logits`).values), LOGITS_TOLERANCE)
      if (loss === undefined || loss === null) continue
      const own = await plainLoss(config, weights, [{ ids: ids!, labels: Array.isArray(labels) ? labels[0]! : ids! }])
      if (own === null) checks.fail('forward losses', `${name}: a loss without a label`)
      else checks.within('forward losses', name, Math.abs(own - loss), LOSS_TOLERANCE)
    }
    for (const [i, one] of recorded.greedy.entries()) {
      compareGeneration(checks, `greedy ${i}`, served, await served.greedy(one.prompt_ids, one.ids.length), one)
    }
    await checks.attempt('soft prompt', async () => {
      const { context_ids: context, target_ids: target, loss_float64: expected } = recorded.soft_prompt
      const rows = tensor(tensors, 'soft_prompt.rows')
      const example = { ids: [...context, ...target], labels: [...context.map(() => -100), ...target] }
      const model = await LossModel.open({ method: 'prompt-tuning', numVirtualTokens: rows.shape[0]! }, config, weights, example.ids.length)
      try {
        const { loss, gradient } = await model.lossAndGradient(rows.values, [example])
        checks.within('soft prompt: loss', 'soft_prompt', Math.abs(loss - expected), LOSS_TOLERANCE)
        checks.within('soft prompt: gradient, relative L2', 'soft_prompt', relativeL2(gradient, tensor(tensors, 'soft_prompt.grad').values), GRADIENT_TOLERANCE)
      } finally {
        await model.close()
      }
    })
  } finally {
    weights.close()
    await served.close()
  }
}
