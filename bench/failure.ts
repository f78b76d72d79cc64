/** What a person can act on: said in one line, without a stack. */
export class BenchFailure extends Error { override readonly name = 'BenchFailure' }
