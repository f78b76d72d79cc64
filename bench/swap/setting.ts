/** What is swapped: prompts of either method on a real base, in a store on disk. */
import { execFileSync } from 'node:child_process'
import { pino } from 'pino'
import type { Digest } from '../../src/digest.js'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import { type RunningService, startService } from '../../src/inference/start-service.js'
import type { Base } from '../../src/model/base.js'
import type { Method } from '../../src/prompt/methods.js'
import type { ArtifactStore } from '../../src/registry/store/artifact-store.js'
import { promptFiles, SETTINGS } from '../../test/inference/tiny-service.js'
import { seededNumbers } from '../../test/support/numbers.js'

export const FORMAT = 'w8a8'
export const VIRTUAL_TOKENS = 16
export const LABEL_TOKENS = [5, 9]
/** Tokens of a request beside its prompt. */
export const INPUT = Array.from({ length: 8 }, (_, index) => 100 + index)
/** Numbers of a trained prompt are of this order. */
const SCALE = 0.1

export interface Setting {
  readonly base: Base
  readonly threads: number
  /** That of `artifacts`. */
  readonly folder: string
  readonly artifacts: ArtifactStore
}

/** A service that has seen no prompt yet. */
export async function freshService ({ base, threads, artifacts }: Setting, promptCacheBytes: number = 2 ** 30): Promise<RunningService> {
  return await startService(base, artifacts, { ...SETTINGS, format: FORMAT, threads, maxContext: 1024, promptCacheBytes }, pino({ level: 'silent' }), CApiEngine.open)
}

/** Put prompts number `from` to under `to` of a method into the store. */
export async function storePrompts ({ base, artifacts }: Setting, method: Method, from: number, to: number): Promise<Digest[]> {
  const digests: Digest[] = []
  for (let seed = from; seed < to; seed++) {
    const random = seededNumbers(seed)
    digests.push(await artifacts.put(promptFiles(base, { method, virtualTokens: VIRTUAL_TOKENS, labelTokens: LABEL_TOKENS, value: () => SCALE * random() })))
  }
  return digests
}

/** Make the next reads come from the disk. @returns false where the system cannot, so that they come from memory */
export function dropPageCache ({ folder }: Setting): boolean {
  try {
    execFileSync('find', [folder, '-type', 'f', '-exec', 'dd', 'if={}', 'iflag=nocache', 'count=0', 'status=none', ';'])
    return true
  } catch {
    return false
  }
}
