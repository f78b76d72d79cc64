/** What a process had resident over time. */
import { median } from '../statistics.js'

const BARS = '▁▂▃▄▅▆▇█'

/** How much larger the last fifth is than the second one, by their medians; the first is warm-up. @param samples at least five */
export function drift (samples: readonly number[]): number {
  return median(fifth(samples, 4)) / median(fifth(samples, 1)) - 1
}

function fifth (samples: readonly number[], index: number): readonly number[] {
  const at = (part: number): number => Math.floor(part * samples.length / 5)
  return samples.slice(at(index), at(index + 1))
}

/** A bar for the mean of each of up to `width` parts, from the smallest to the largest. */
export function sparkline (samples: readonly number[], width: number): string {
  const parts = Math.min(width, samples.length)
  const means = Array.from({ length: parts }, (_, part) => {
    const within = samples.slice(Math.floor(part * samples.length / parts), Math.floor((part + 1) * samples.length / parts))
    return within.reduce((sum, sample) => sum + sample, 0) / within.length
  })
  const lowest = Math.min(...means)
  const range = Math.max(...means) - lowest
  return means.map(mean => BARS[range === 0 ? 0 : Math.round((mean - lowest) / range * (BARS.length - 1))]).join('')
}
