/** Which inference process answers a request: a pure function, so that spread and affinity can be tested by numbers. */
import { createHash } from 'node:crypto'
import type { Digest } from '../digest.js'

export interface Candidate {
  readonly url: string
  /** Sequences that run at once. */
  readonly slots: number
  /** Sequences that run or wait. */
  readonly load: number
}

/**
 * How much busier than the least busy one the process may be that has the prompt warm, as a share of its slots. Compiling
 * a prompt costs about as much as one request, once; waiting behind a full process costs every request.
 */
const LEAD = 0.25

/**
 * Each prompt has a ranking of the processes of its own (rendezvous hashing), which a process that comes or goes does not
 * change for the others. The first that is hardly busier than the least busy one is taken; without a prompt, the least busy.
 * @returns null when there is no candidate
 */
export function chooseReplica<C extends Candidate> (candidates: readonly C[], prompt: Digest | null): C | null {
  const least = Math.min(...candidates.map(busyness))
  const acceptable = candidates.filter(candidate => busyness(candidate) <= least + leadOf(candidate, prompt))
  let best: C | null = null
  let highest = -1
  for (const candidate of acceptable) {
    const score = scoreOf(candidate, prompt)
    if (score > highest) [best, highest] = [candidate, score]
  }
  return best
}

function busyness ({ load, slots }: Candidate): number {
  return load / slots
}

/** At least one sequence, or few slots would leave no home at all. */
function leadOf ({ slots }: Candidate, prompt: Digest | null): number {
  return prompt === null ? 0 : Math.max(LEAD, 1 / slots)
}

/** 0 to 2^48 - 1, evenly. */
function scoreOf ({ url }: Candidate, prompt: Digest | null): number {
  return createHash('sha256').update(`${prompt ?? ''} ${url}`).digest().readUIntBE(0, 6)
}
