/** The methods this version trains and serves; the list grows, and everything that depends on a method switches on it. */
export const METHODS = ['prompt-tuning', 'prefix-tuning'] as const
export type Method = typeof METHODS[number]
