/** The thread of `compiler.ts`: what is asked for in, a table or a refusal out. */
import { parentPort } from 'node:worker_threads'
import { ServiceError } from '../errors.js'
import { type CompiledOutput, compileOutput } from './compile.js'
import type { Output } from './output.js'

export interface CompilerRequest { readonly output: Output, readonly usable: Uint8Array }

export type CompilerAnswer = { readonly compiled: CompiledOutput } | { readonly refusal: { readonly message: string, readonly param: string } } | { readonly error: string }

parentPort?.on('message', (request: CompilerRequest) => {
  parentPort?.postMessage(answerTo(request))
})

function answerTo ({ output, usable }: CompilerRequest): CompilerAnswer {
  try {
    return { compiled: compileOutput(output, usable) }
  } catch (error) {
    if (error instanceof ServiceError && error.param !== undefined) return { refusal: { message: error.message, param: error.param } }
    return { error: (error as Error).message }
  }
}
