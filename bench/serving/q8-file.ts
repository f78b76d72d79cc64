import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { PROJECT_ROOT } from '../../src/project.js'
import { BenchFailure } from '../failure.js'

const SCRIPT = join(PROJECT_ROOT, 'bench', 'serving', 'requantise.py')

/**
 * The GGUF file in 8 bit, made once by the Python package `gguf`.
 * @param python PYTHON, or whatever is called python3
 * @throws BenchFailure when that Python is not there or has no `gguf`
 */
export async function q8File (source: string, folder: string, python: string): Promise<string> {
  const target = join(folder, `${basename(source, '.gguf')}.as-Q8_0.gguf`)
  if (existsSync(target)) return target
  await mkdir(folder, { recursive: true })
  const part = `${target}.part`
  try {
    await promisify(execFile)(python, [SCRIPT, source, part])
  } catch (error) {
    const { message, stderr = '' } = error as Error & { stderr?: string }
    throw new BenchFailure(`no Q8_0 file: ${python} could not make it: ${(stderr.trim() || message).split('\n').at(-1)} (PYTHON names one that has the package gguf)`)
  }
  await rename(part, target)
  return target
}
