/** The project's own sources and what each imports, read with a regular expression: every import here is a literal. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'

export interface Source {
  /** From the project root, `src/graph/ir.ts`. */
  readonly path: string
  readonly lines: number
  readonly imports: readonly Import[]
}

export interface Import {
  /** A path like `Source.path` for a file of ours, else the package or `node:` module. */
  readonly target: string
  readonly ours: boolean
  /** `import type`: gone after compilation; `import { type A }` is not, and loads the module. */
  readonly typeOnly: boolean
  /** `await import(...)`: loaded when that line runs. */
  readonly dynamic: boolean
}

const STATIC = /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm
const DYNAMIC = /\bimport\('([^']+)'\)/g

export function sourcesBelow (...folders: string[]): Source[] {
  return folders.flatMap(folder => readdirSync(join(PROJECT_ROOT, folder), { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => readSource(join(entry.parentPath ?? entry.path, entry.name))))
}

function readSource (file: string): Source {
  const text = readFileSync(file, 'utf8')
  const imports = [
    ...[...text.matchAll(STATIC)].map(match => resolved(file, match[2]!, { typeOnly: match[1] !== undefined, dynamic: false })),
    ...[...text.matchAll(DYNAMIC)].map(match => resolved(file, match[1]!, { typeOnly: false, dynamic: true }))
  ]
  return { path: relative(PROJECT_ROOT, file), lines: text.split('\n').length, imports }
}

function resolved (file: string, specifier: string, kind: Pick<Import, 'typeOnly' | 'dynamic'>): Import {
  if (!specifier.startsWith('.')) return { target: packageOf(specifier), ours: false, ...kind }
  return { target: relative(PROJECT_ROOT, join(dirname(file), specifier)).replace(/\.js$/, '.ts'), ours: true, ...kind }
}

function packageOf (specifier: string): string {
  if (specifier.startsWith('node:')) return specifier
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

/** Everything that is loaded when `entry` is: files of ours and packages, type imports and dynamic ones aside. */
export function loadedBy (entry: string, sources: readonly Source[]): { readonly files: ReadonlySet<string>, readonly packages: ReadonlySet<string> } {
  const byPath = new Map(sources.map(source => [source.path, source]))
  const files = new Set<string>()
  const packages = new Set<string>()
  const waiting = [entry]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (files.has(path)) continue
    files.add(path)
    const source = byPath.get(path)
    if (source === undefined) throw new Error(`${path} is imported and does not exist`)
    for (const { target, ours, typeOnly, dynamic } of source.imports) {
      if (typeOnly || dynamic) continue
      if (ours) waiting.push(target)
      else packages.add(target)
    }
  }
  return { files, packages }
}
