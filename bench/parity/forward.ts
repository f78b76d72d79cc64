/** `forward.json`: logits of every comparable position, and losses. */
import type { TokenExample } from '../../src/model/batch-plan.js'
import { BaseWeights } from '../../workers/base-weights.js'
import { maxDifference } from '../../test/support/numbers.js'
import { readJson, readTensors, tensor } from './fixture-files.js'
import { LOGITS_TOLERANCE } from './generated.js'
import type { Checks } from './ledger.js'
import { plainLoss } from './loss.js'
import type { ServedBase } from './served-base.js'

export const LOSS_TOLERANCE = 1e-5

interface ForwardCase {
  readonly name: string
  readonly input_ids: number[][]
  readonly attention_mask?: number[][]
  readonly position_ids?: number[][]
  readonly labels?: number[][]
  readonly logits_shape: [batch: number, tokens: number, vocabulary: number]
  readonly compare_positions: number[][]
  readonly loss?: number
}

const ARGUMENTS = ['input_ids', 'attention_mask', 'position_ids', 'labels']
const RESULTS = ['name', 'logits_shape', 'compare_positions', 'last_position', 'last_top5_ids', 'last_top5_logits', 'position_checksums', 'loss', 'noise']

export async function forwardReferences (checks: Checks, folder: string, served: ServedBase): Promise<void> {
  const { cases, tensors: file } = readJson<{ tensors: string, cases: ForwardCase[] }>(folder, 'forward.json')
  const tensors = readTensors(folder, file)
  const weights = new BaseWeights(served.base.folder)
  try {
    for (const one of cases) {
      await checks.attempt(`forward ${one.name}`, async () => {
        const stranger = Object.keys(one).find(key => !ARGUMENTS.includes(key) && !RESULTS.includes(key))
        if (stranger !== undefined) throw new Error(`the argument ${stranger} is of a kind that no check here reads`)
        const obstacle = one.input_ids.map((_, row) => positionObstacle(one, row)).find(found => found !== null)
        if (obstacle !== undefined) {
          checks.notApplicable(`forward ${one.name}`, one.input_ids.length, obstacle)
          return
        }
        await compareLogits(checks, one, tensor(tensors, `${one.name}.logits`).values, served)
        if (one.loss !== undefined) await compareLoss(checks, one, one.loss, served, weights)
      })
    }
  } finally {
    weights.close()
  }
}

function realPositions ({ input_ids: rows, attention_mask: mask }: ForwardCase, row: number): number[] {
  return [...rows[row]!.keys()].filter(i => mask === undefined || mask[row]![i] === 1)
}

/**
 * Texts run one by one without padding at positions 0, 1, 2, ... Rotary attention sees distances only, so a row whose
 * positions are those plus a constant (padding on the left that was counted) must give the same.
 */
function positionObstacle (one: ForwardCase, row: number): string | null {
  const real = realPositions(one, row)
  if (real.length === 0) return `row ${row} has no token`
  const position = (i: number): number => one.position_ids === undefined ? i : one.position_ids[row]![i]!
  const consecutive = real.every((i, n) => n === 0 || position(i) === position(real[n - 1]!) + 1)
  return consecutive ? null : `row ${row} has gaps between positions; a request has none`
}

async function compareLogits (checks: Checks, one: ForwardCase, recorded: Float32Array, served: ServedBase): Promise<void> {
  const [, tokens, vocabulary] = one.logits_shape
  for (const [row, ids] of one.input_ids.entries()) {
    const real = realPositions(one, row)
    const unreal = one.compare_positions[row]!.findIndex((compare, i) => compare === 1 && !real.includes(i))
    if (unreal >= 0) throw new Error(`row ${row}: position ${unreal} is to be compared and is padding`)
    const logits = await served.logits(real.map(i => ids[i]!))
    for (const [n, i] of real.entries()) {
      if (one.compare_positions[row]![i] !== 1) continue
      const start = (row * tokens + i) * vocabulary
      const difference = maxDifference(logits.subarray(n * vocabulary, (n + 1) * vocabulary), recorded.subarray(start, start + vocabulary))
      checks.within('forward logits', `${one.name} row ${row} position ${i}`, difference, LOGITS_TOLERANCE)
    }
  }
}

async function compareLoss (checks: Checks, one: ForwardCase, recorded: number, served: ServedBase, weights: BaseWeights): Promise<void> {
  const examples: TokenExample[] = []
  for (const [row, ids] of one.input_ids.entries()) {
    const labels = one.labels![row]!
    const real = realPositions(one, row)
    // A label in padding, or on a first token that follows padding, is predicted from what is no text.
    const odd = labels.findIndex((label, i) => label >= 0 && i > 0 && (!real.includes(i) || i === real[0]))
    if (odd >= 0) {
      checks.notApplicable(`loss of ${one.name}`, 1, `row ${row} has a label at position ${odd} that padding predicts; a text has no padding here`)
      return
    }
    examples.push({ ids: real.map(i => ids[i]!), labels: real.map(i => labels[i]!) })
  }
  const loss = await plainLoss(served.base.manifest.config, weights, examples)
  if (loss === null) throw new Error('a loss without a label')
  checks.within('forward losses', one.name, Math.abs(loss - recorded), LOSS_TOLERANCE)
}
