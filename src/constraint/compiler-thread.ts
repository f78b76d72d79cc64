/** The thread of `compiler.ts`: what is asked for in, a table or a refusal out. */
import { parentPort } from 'node:worker_threads'
import { ServiceError } from '../errors.js'
import type { Automaton } from './automaton.js'
import { compileOutput } from './compile.js'
import type { Output } from './output.js'

export type CompilerAnswer = { readonly automaton: Automaton } | { readonly refusal: { readonly message: string, readonly param: string } } | { readonly error: string }

parentPort?.on('message', (output: Output) => {
  parentPort?.postMessage(answerTo(output)) // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
})

function answerTo (output: Output): CompilerAnswer {
  try {
    return { automaton: compileOutput(output) }
  } catch (error) {
    if (error instanceof ServiceError && error.param !== undefined) return { refusal: { message: error.message, param: error.param } }
    return { error: (error as Error).message }
  }
}
