/**
 * `npm run bench -- int8-quality`: what W8A8 costs on real text. Both serving graphs read the same tokens; reported are
 * KL(float32 || W8A8) in nats for each token, top-1 agreement and the change of the negative log-likelihood.
 */
import { join } from 'node:path'
import { openEngine } from '../src/inference/engine/open-engine.js'
import type { Engine } from '../src/inference/engine/engine.js'
import { type Base, BASE_FILES, type ServingFormat } from '../src/model/base.js'
import { loadTokenizer } from '../src/model/bpe-tokenizer.js'
import { realTexts } from './texts.js'
import { type Table, report } from './report.js'

const LONGEST = 256

/** log softmax of each row in float64, [rows, vocabulary]. */
function logProbabilities (logits: Float32Array, vocabulary: number): Float64Array {
  const result = Float64Array.from(logits)
  for (let row = 0; row < logits.length; row += vocabulary) {
    let largest = -Infinity
    for (let i = row; i < row + vocabulary; i++) largest = Math.max(largest, result[i]!)
    let sum = 0
    for (let i = row; i < row + vocabulary; i++) sum += Math.exp(result[i]! - largest)
    const shift = largest + Math.log(sum)
    for (let i = row; i < row + vocabulary; i++) result[i]! -= shift
  }
  return result
}

function argmax (values: Float64Array, from: number, count: number): number {
  let best = from
  for (let i = from + 1; i < from + count; i++) if (values[i]! > values[best]!) best = i
  return best - from
}

export async function int8Quality (base: Base, data: string, threads: number, json: boolean): Promise<void> {
  const { config } = base.manifest
  const V = config.vocabSize
  const tokenizer = await loadTokenizer(base.folder)
  const texts = realTexts(data, 10).map(text => tokenizer.encode(text).slice(0, LONGEST)).filter(ids => ids.length > 1)
  const open = (format: ServingFormat): Promise<Engine> => openEngine({ file: join(base.folder, BASE_FILES.serving[format]), config, slots: 1, positions: LONGEST, threads, maxHiddenRows: LONGEST }, reason => { throw reason })
  const logits = async (engine: Engine, ids: readonly number[]): Promise<Float64Array> => {
    const rows = ids.map((_, row) => row)
    return logProbabilities((await engine.step({ firstSlot: 0, rows: 1, ids, lengths: [ids.length], hiddenRows: rows, logitRows: rows })).logits, V)
  }
  const exact = await open('float32')
  const int8 = await open('w8a8')
  let tokens = 0, divergence = 0, agreed = 0, nllExact = 0, nllInt8 = 0, predicted = 0
  for (const ids of texts) {
    const p = await logits(exact, ids)
    const q = await logits(int8, ids)
    for (let row = 0; row < ids.length; row++) {
      let kl = 0
      for (let i = row * V; i < (row + 1) * V; i++) kl += Math.exp(p[i]!) * (p[i]! - q[i]!)
      divergence += kl
      if (argmax(p, row * V, V) === argmax(q, row * V, V)) agreed++
      const next = ids[row + 1]
      if (next !== undefined) {
        nllExact -= p[row * V + next]!
        nllInt8 -= q[row * V + next]!
        predicted++
      }
      tokens++
    }
  }
  await exact.close()
  await int8.close()
  const raw = { base: base.manifest.name, texts: texts.length, tokens, meanKl: divergence / tokens, top1Agreement: agreed / tokens, nllFloat32: nllExact / predicted, nllW8a8: nllInt8 / predicted }
  const table: Table = {
    title: `W8A8 against float32: ${raw.base}, ${tokens} tokens of ${texts.length} texts`,
    columns: ['', 'measured', 'wanted'],
    rows: [
      ['mean KL, nats per token', raw.meanKl.toFixed(4), '<= 0.02'],
      ['top-1 agreement', `${(100 * raw.top1Agreement).toFixed(2)} %`, '>= 92 %'],
      ['NLL float32 -> W8A8', `${raw.nllFloat32.toFixed(4)} -> ${raw.nllW8a8.toFixed(4)}`, '']
    ]
  }
  report('int8-quality', [table], raw, json)
}
