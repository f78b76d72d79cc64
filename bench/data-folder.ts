import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Config } from '../src/config.js'
import { PROJECT_ROOT } from '../src/project.js'
import { BenchFailure } from './failure.js'

/** The folder of data sets below PERMAFROST_SHARED. @throws BenchFailure when it is not there */
export function dataFolder ({ PERMAFROST_SHARED }: Config): string {
  const folder = resolve(PROJECT_ROOT, PERMAFROST_SHARED, 'data')
  if (!existsSync(folder)) throw new BenchFailure(`the data sets of this benchmark are not at ${folder}; set PERMAFROST_SHARED to the folder that holds data/`)
  return folder
}
