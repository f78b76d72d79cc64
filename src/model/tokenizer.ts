/** Text <-> ids of one base. Synchronous and pure; long texts go through `tokenizer-pool.ts`. */
export interface Tokenizer {
  readonly vocabSize: number
  /** With the special tokens the base's tokenizer adds (a beginning-of-text token, or nothing). Control tokens in the text are recognised only with `parseSpecial`. */
  encode (text: string, options?: { addSpecial?: boolean, parseSpecial?: boolean }): number[]
  /** Empty for no ids; special tokens are left out unless asked for. */
  decode (ids: readonly number[], options?: { keepSpecial?: boolean }): string
  /** One token as text, for display: a half character shows as U+FFFD. */
  piece (id: number): string
}
