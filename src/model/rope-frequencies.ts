/**
 * Angles of the rotary embedding (RoFormer, Su 2021), computed step by step in float32 as transformers'
 * modeling_rope_utils.py does, so that scaled bases have the same angles there and here.
 */
import { MalformedModelError } from '../errors.js'

const f = Math.fround

/** Float32 angle per position of each of the `headSize / 2` rotated pairs. */
export function defaultFrequencies (headSize: number, theta: number): number[] {
  return Array.from({ length: headSize / 2 }, (_, i) => f(1 / f(Math.pow(f(theta), f(2 * i / headSize)))))
}

/** Position interpolation: every angle divided by `factor`. */
export function linearScaling (frequencies: readonly number[], factor: number): number[] {
  return frequencies.map(frequency => f(frequency / f(factor)))
}

export interface Llama3Scaling {
  readonly factor: number
  readonly lowFreqFactor: number
  readonly highFreqFactor: number
  readonly originalContext: number
}

/** Llama 3.1: long waves are divided by `factor`, short ones stay, those between are blended. */
export function llama3Scaling (frequencies: readonly number[], { factor, lowFreqFactor, highFreqFactor, originalContext }: Llama3Scaling): number[] {
  const lowWave = originalContext / lowFreqFactor
  const highWave = originalContext / highFreqFactor
  return frequencies.map(frequency => {
    const wave = f(f(2 * Math.PI) / frequency)
    const scaled = wave > lowWave ? f(frequency / f(factor)) : frequency
    if (wave < highWave || wave > lowWave) return scaled
    const smooth = f(f(f(originalContext / wave) - f(lowFreqFactor)) / f(highFreqFactor - lowFreqFactor))
    return f(f(f(f(1 - smooth) * scaled) / f(factor)) + f(smooth * scaled))
  })
}

/** GGUF's `rope_freqs.weight`: each angle is divided by its entry. */
export function divideFrequencies (frequencies: readonly number[], divisors: Float32Array): number[] {
  return frequencies.map((frequency, i) => f(frequency / divisors[i]!))
}

/** Angles as they came out of `source`, a part of an untrusted file. @throws MalformedModelError for one beyond float32 */
export function usableFrequencies (frequencies: readonly number[], source: string): readonly number[] {
  const bad = frequencies.find(frequency => !Number.isFinite(frequency))
  if (bad !== undefined) throw new MalformedModelError(`${source} make an angle of rotation ${bad}; a finite number is expected`)
  return frequencies
}
