import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

function findRoot (): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error('internal: no package.json above ' + import.meta.dirname)
    folder = parent
  }
  return folder
}

/** The folder of package.json, from wherever the compiled file lies. */
export const PROJECT_ROOT = findRoot()

export const VERSION = (JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { version: string }).version
