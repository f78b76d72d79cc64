import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { suite, test } from 'node:test'
import { PROJECT_ROOT } from '../../src/project.js'

const SPECIFIER = /^\s*(?:import|export)\s(?!type\b)(?:[^'"]*?from\s*)?['"]([^'"]+)['"]/gm
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g

/** Every file and package that a file loads, following the project's own files. Type-only imports load nothing. */
function loadedFrom (entry: string): { files: Set<string>, packages: Set<string> } {
  const files = new Set<string>()
  const packages = new Set<string>()
  const left = [entry]
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    if (files.has(file)) continue
    files.add(file)
    const source = readFileSync(file, 'utf8')
    for (const match of [...source.matchAll(SPECIFIER), ...source.matchAll(DYNAMIC)]) {
      const specifier = match[1] as string
      if (!specifier.startsWith('.')) packages.add(specifier)
      else left.push(resolve(dirname(file), specifier.replace(/\.js$/, '.ts')))
    }
  }
  return { files, packages }
}

suite('the api process', () => {
  const entry = join(PROJECT_ROOT, 'src', 'api', 'main.ts')
  const { files, packages } = loadedFrom(entry)
  const paths = [...files].map(file => relative(PROJECT_ROOT, file))

  test('is followed to its last file', () => {
    assert.ok(paths.length > 40 && [...files].every(file => existsSync(file)), `${paths.length} files`)
    assert.ok(packages.has('fastify') && packages.has('ioredis'))
  })

  test('loads neither ONNX Runtime nor training code nor a graph', () => {
    assert.deepEqual([...packages].filter(name => /^(onnxruntime|koffi)/.test(name)), [])
    assert.deepEqual(paths.filter(path => /^(workers|src\/(graph|autodiff|cli|supervisor|inference\/engine))\//.test(path)), [])
    assert.deepEqual(paths.filter(path => path.startsWith('src/inference/')).sort(), [
      'choose-replica', 'client-address', 'client-answer', 'client-metrics', 'client-pool', 'client-replica', 'client-replicas-source', 'client', 'protocol'
    ].map(name => `src/inference/${name}.ts`))
  })
})
