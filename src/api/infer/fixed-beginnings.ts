/** How many first tokens of an input are the same for every input of its task: those of the text in front of the first field. */
import { parseTemplate } from '../../prompt/template.js'
import { SHORT_TEXT_BYTES, type TextServices } from './input-ids.js'

/**
 * A request of 20 tokens behind so many takes 18 % less time than with them, default base, and 10 % behind half as many: too
 * little for keeping the keys and values of prompt and beginning once more.
 */
const MIN_FIXED_TOKENS = 8
/**
 * Those behind them run with the input. A tenant chooses its templates, and a prefix is in memory for as long as a request
 * to it waits or runs: 11 MiB for so many on the default base. The scheduler compiles them in one step.
 */
const MAX_FIXED_TOKENS = 256
/** Of so many templates the beginnings are remembered. */
const MAX_TEMPLATES = 1024
/**
 * What inputs begin with. Tokens are not cut at the border of text and field: what becomes another token before one of
 * these is not fixed. An input that begins otherwise and changes more is simply one without fixed tokens.
 */
const BEGINNINGS_OF_INPUTS = ['a', 'A', '1', ' ', '\n', '.', ',', '-', '"', '(', '<', 'é', '中', '😀']

export class FixedBeginnings {
  readonly #services: Pick<TextServices, 'tokenizer' | 'tokenizerPool'>
  /** Least recently used first. */
  readonly #known = new Map<string, Promise<readonly number[]>>()

  constructor (services: Pick<TextServices, 'tokenizer' | 'tokenizerPool'>) {
    this.#services = services
  }

  /**
   * Depends on template and ids alone, so that a request is cut at the same place whoever asks and whenever.
   * @param ids of the rendered template
   * @returns how many first ones are fixed, fewer than there are; 0: none, or too few to be worth it
   */
  async tokensOf (template: string, ids: readonly number[]): Promise<number> {
    const fixed = await this.#beginningOf(template)
    const begins = fixed.length < ids.length && fixed.every((id, index) => id === ids[index])
    return begins && fixed.length >= MIN_FIXED_TOKENS ? fixed.length : 0
  }

  async #beginningOf (template: string): Promise<readonly number[]> {
    const beginning = this.#known.get(template) ?? this.#find(template)
    this.#known.delete(template)
    this.#known.set(template, beginning)
    if (this.#known.size > MAX_TEMPLATES) this.#known.delete(this.#known.keys().next().value!)
    try {
      return await beginning
    } catch (error) {
      this.#known.delete(template)
      throw error
    }
  }

  async #find (template: string): Promise<readonly number[]> {
    const [text] = parseTemplate(template).parts
    if (typeof text !== 'string') return []
    const { tokenizer, tokenizerPool } = this.#services
    const short = Buffer.byteLength(text) * BEGINNINGS_OF_INPUTS.length <= SHORT_TEXT_BYTES
    const encode = (input: string): number[] | Promise<number[]> => short ? tokenizer.encode(text + input) : tokenizerPool.encode(text + input)
    return commonBeginning(await Promise.all(BEGINNINGS_OF_INPUTS.map(encode))).slice(0, MAX_FIXED_TOKENS)
  }
}

/** @param lists one at least */
function commonBeginning ([first = [], ...others]: ReadonlyArray<readonly number[]>): readonly number[] {
  const end = first.findIndex((id, index) => others.some(other => other[index] !== id))
  return end === -1 ? first : first.slice(0, end)
}
