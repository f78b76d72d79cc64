import { tokenize13a } from './tokenize-13a.js'

const MAX_ORDER = 4

/**
 * Corpus BLEU, 0..100, equal to sacreBLEU's default (`BLEU|nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp`): n-gram counts
 * and lengths are summed over all segments before the one geometric mean. A segment's reference length is that of the
 * reference closest in length, the shorter one of two; an order without a match counts as 1 / (2^k total) for the k-th
 * such order.
 * @throws Error when the lists differ in length or a segment has no reference
 */
export function corpusBleu (outputs: readonly string[], references: ReadonlyArray<readonly string[]>): number {
  if (outputs.length !== references.length) throw new Error(`internal: ${outputs.length} outputs for ${references.length} lists of references`)
  const matches = Array.from({ length: MAX_ORDER }, () => 0)
  const totals = Array.from({ length: MAX_ORDER }, () => 0)
  let outputLength = 0
  let referenceLength = 0
  outputs.forEach((output, i) => {
    if (references[i]!.length === 0) throw new Error(`internal: segment ${i} has no reference`)
    const tokens = tokenize13a(output)
    const tokenizedReferences = references[i]!.map(tokenize13a)
    outputLength += tokens.length
    referenceLength += closestLength(tokens.length, tokenizedReferences.map(reference => reference.length))
    const allowed = maxCounts(tokenizedReferences.map(ngramCounts))
    for (const [ngram, count] of ngramCounts(tokens)) {
      const order = ngram.split(' ').length - 1
      totals[order]! += count
      matches[order]! += Math.min(count, allowed.get(ngram) ?? 0)
    }
  })
  return score(matches, totals, outputLength, referenceLength)
}

function score (matches: readonly number[], totals: readonly number[], outputLength: number, referenceLength: number): number {
  // An order that no output is long enough for leaves the mean undefined; sacreBLEU calls that 0 as well.
  if (matches.every(count => count === 0) || totals.some(total => total === 0)) return 0
  let smoothing = 1
  let sumOfLogs = 0
  for (let order = 0; order < MAX_ORDER; order++) {
    if (matches[order] === 0) smoothing *= 2
    sumOfLogs += Math.log(matches[order] === 0 ? 100 / (smoothing * totals[order]!) : 100 * matches[order]! / totals[order]!)
  }
  const brevityPenalty = outputLength < referenceLength ? Math.exp(1 - referenceLength / outputLength) : 1
  return brevityPenalty * Math.exp(sumOfLogs / MAX_ORDER)
}

function closestLength (length: number, candidates: readonly number[]): number {
  return candidates.reduce((best, candidate) => {
    const gain = Math.abs(best - length) - Math.abs(candidate - length)
    return gain > 0 || (gain === 0 && candidate < best) ? candidate : best
  })
}

/** Tokens hold no space, so a joined n-gram is unambiguous. */
function ngramCounts (tokens: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (let order = 1; order <= MAX_ORDER; order++) {
    for (let start = 0; start + order <= tokens.length; start++) {
      const ngram = tokens.slice(start, start + order).join(' ')
      counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
    }
  }
  return counts
}

function maxCounts (all: ReadonlyArray<ReadonlyMap<string, number>>): Map<string, number> {
  const most = new Map<string, number>()
  for (const counts of all) {
    for (const [ngram, count] of counts) most.set(ngram, Math.max(count, most.get(ngram) ?? 0))
  }
  return most
}
