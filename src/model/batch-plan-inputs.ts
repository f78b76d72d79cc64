/** The batch plan from the graph's side: its feeds declared as inputs. */
import type { AttentionAttrs } from '../autodiff/macro-ops.js'
import type { GraphBuilder } from '../graph/builder.js'
import { type Dim, product } from '../graph/dims.js'
import type { Value } from '../graph/ir.js'
import { type PromptPlacement, causalMask } from './batch-plan.js'
import type { LlamaConfig } from './llama-config.js'

export interface BatchPlanInputs {
  readonly ids: Value
  readonly positions: Value
  readonly attention: AttentionAttrs
  readonly rows: Value
  readonly labels: Value
  readonly weight: Value
}

/** `rows` names the number of label rows. The prompt rows' own attention does not depend on the batch and is constant. */
export function planInputs (b: GraphBuilder, { config, method, numVirtualTokens: P, rows: N }: PromptPlacement & { config: LlamaConfig, rows: Dim }): BatchPlanInputs {
  const { numHeads: H, numKvHeads: KH, headSize } = config
  const G = H / KH
  const T = method === 'prompt-tuning' ? 'T' : 'E'
  const batch = {
    queries: b.input('queries', 'int32', ['B', KH, product(G, 'S')]),
    keys: b.input('keys', 'int32', ['B', KH, 'L']),
    mask: b.input('mask', 'float32', [product(G, 'S'), 'L'])
  }
  return {
    ids: b.input('ids', 'int32', ['E']),
    positions: b.input('positions', 'int64', [T, 1]),
    attention: {
      groups: method === 'prompt-tuning' ? [promptGroup(b, H, KH, P), batch] : [batch],
      inverse: b.input('inverse', 'int32', [product(H, T)]),
      inverseKeys: b.input('inverse_keys', 'int32', [product(KH, 'E')]),
      sharedRows: P,
      headSize
    },
    rows: b.input('rows', 'int64', [N]),
    labels: b.input('labels', 'int64', [N]),
    weight: b.input('weight', 'float32', [N])
  }
}

function promptGroup (b: GraphBuilder, H: number, KH: number, P: number): AttentionAttrs['groups'][number] {
  const G = H / KH
  const queries = Int32Array.from({ length: H * P }, (_, i) => (i % P) * H + Math.floor(i / P))
  const keys = Int32Array.from({ length: KH * P }, (_, i) => (i % P) * KH + Math.floor(i / P))
  return {
    queries: b.constant('int32', [1, KH, G * P], queries),
    keys: b.constant('int32', [1, KH, P], keys),
    mask: b.constant('float32', [G * P, P], causalMask(G, P, 0))
  }
}
