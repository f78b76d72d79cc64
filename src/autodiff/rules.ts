import { attention } from './attention.js'
import { labelLoss, tokenLoss } from './losses.js'
import type { MacroOps, Rule } from './macro-ops.js'
import { addNorm, rmsNorm } from './norms.js'
import { concatRows, gatherRows, linear, rope, splitColumns, swiglu } from './rows.js'

/** One rule per operator; an operator without one does not compile. */
export const RULES: { readonly [O in keyof MacroOps]: Rule<O> } = {
  linear, rmsNorm, addNorm, swiglu, rope, attention, concatRows, splitColumns, gatherRows, tokenLoss, labelLoss
}
