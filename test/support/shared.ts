import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'

function sharedRoot (): string {
  return resolve(PROJECT_ROOT, process.env['PERMAFROST_SHARED'] || '../shared')
}

/** A path below the folder of data sets and models (`PERMAFROST_SHARED`); null when it is absent, so that a test can skip. */
export function sharedFolder (...parts: string[]): string | null {
  const path = join(sharedRoot(), ...parts)
  return existsSync(path) ? path : null
}

/** A path below the folder of reference numbers (`PERMAFROST_FIXTURES`); null when it is absent, so that a test can skip. */
export function fixturesFolder (...parts: string[]): string | null {
  const root = process.env['PERMAFROST_FIXTURES'] ? resolve(PROJECT_ROOT, process.env['PERMAFROST_FIXTURES']) : join(sharedRoot(), 'fixtures', 'open')
  const path = join(root, ...parts)
  return existsSync(path) ? path : null
}
