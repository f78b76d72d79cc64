import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { PROJECT_ROOT } from '../../src/project.js'
import { loadedBy, sourcesBelow } from './sources.js'

const sources = sourcesBelow('src', 'workers')

/** Rooms of the house and whose files they may import beside their own and the root files of src; the arrows of `src/README.md`. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  root: [],
  graph: [],
  metrics: [],
  lifecycle: [],
  constraint: [],
  autodiff: ['graph'],
  model: ['graph', 'autodiff'],
  prompt: ['constraint', 'model'],
  training: ['prompt'],
  registry: ['prompt', 'training'],
  'first-start': ['model', 'prompt', 'registry'],
  inference: ['lifecycle', 'constraint', 'graph', 'model', 'prompt', 'registry'],
  api: ['lifecycle', 'constraint', 'metrics', 'model', 'prompt', 'training', 'registry', 'first-start', 'inference'],
  workers: ['lifecycle', 'graph', 'autodiff', 'model', 'prompt', 'training', 'registry', 'metrics'],
  supervisor: ['model', 'prompt', 'training', 'registry', 'first-start', 'inference'],
  cli: ['lifecycle', 'metrics', 'model', 'prompt', 'training', 'registry', 'inference', 'api', 'workers', 'supervisor']
}

function roomOf (path: string): string {
  const [top, second] = path.split('/')
  if (top === 'workers') return 'workers'
  return path.split('/').length === 2 ? 'root' : second!
}

const INFERENCE_READS = ['src/registry/store/', 'src/registry/redis-connection.ts', 'src/registry/replicas.ts', 'src/registry/redis-keys.ts', 'src/registry/registry.ts', 'src/graph/serving-contract.ts']

suite('imports', () => {
  test('every folder has its place in the table of arrows', () => {
    assert.deepEqual([...new Set(sources.map(({ path }) => roomOf(path)))].filter(room => ARROWS[room] === undefined), [])
  })

  test('point one way', () => {
    const wrong = sources.flatMap(({ path, imports }) => imports
      .filter(({ ours, target }) => ours && roomOf(target) !== roomOf(path) && roomOf(target) !== 'root')
      .filter(({ target }) => !ARROWS[roomOf(path)]!.includes(roomOf(target)))
      .map(({ target }) => `${path} -> ${target}`))
    assert.deepEqual(wrong, [])
  })

  test('of the inference process reach the artifact store, the announcements and the list of replicas, not the rest of the registry, and the contract of the serving graph, not its making', () => {
    const wrong = sources.filter(({ path }) => roomOf(path) === 'inference').flatMap(({ path, imports }) => imports
      .filter(({ ours, target, typeOnly }) => ours && !typeOnly && ['registry', 'graph'].includes(roomOf(target)) && !INFERENCE_READS.some(prefix => target.startsWith(prefix)))
      .map(({ target }) => `${path} -> ${target}`))
    assert.deepEqual(wrong, [])
  })

  test('of the api and the supervisor know the inference process by its protocol and clients alone', () => {
    const wrong = sources.filter(({ path }) => ['api', 'supervisor'].includes(roomOf(path))).flatMap(({ path, imports }) => imports
      .filter(({ ours, target }) => ours && roomOf(target) === 'inference' && !/^src\/inference\/(?:protocol|client[a-z-]*)\.ts$/.test(target))
      .map(({ target }) => `${path} -> ${target}`))
    assert.deepEqual(wrong, [])
  })

  test('make no process load another: only the command line imports a main.ts', () => {
    const wrong = sources.flatMap(({ path, imports }) => imports
      .filter(({ ours, target, dynamic }) => ours && target.endsWith('/main.ts') && !(roomOf(path) === 'cli' && dynamic))
      .map(({ target }) => `${path} -> ${target}`))
    assert.deepEqual(wrong, [])
  })

  test('go to packages that package.json names as dependencies', () => {
    const { dependencies } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
    const strangers = sources.flatMap(({ path, imports }) => imports
      .filter(({ ours, target }) => !ours && !target.startsWith('node:') && dependencies[target] === undefined)
      .map(({ target }) => `${path} -> ${target}`))
    assert.deepEqual(strangers, [])
  })
})

suite('what a process loads', () => {
  const NATIVE = ['onnxruntime-node', 'koffi']

  for (const entry of ['src/api/main.ts', 'src/cli/main.ts', 'src/supervisor/start.ts']) {
    test(`${entry}: neither ONNX Runtime nor training code`, () => {
      const { files, packages } = loadedBy(entry, sources)
      assert.deepEqual([...packages].filter(name => NATIVE.includes(name)), [])
      assert.deepEqual([...files].filter(path => ['graph', 'autodiff', 'workers'].includes(roomOf(path))), [])
    })
  }

  test('src/inference/main.ts: no training code and no HTTP framework', () => {
    const { files, packages } = loadedBy('src/inference/main.ts', sources)
    assert.deepEqual([...files].filter(path => ['autodiff', 'workers', 'api'].includes(roomOf(path))), [])
    assert.deepEqual([...packages].filter(name => ['fastify', 'bullmq'].includes(name)), [])
  })

  test('workers/main.ts: neither api nor inference server', () => {
    const { files } = loadedBy('workers/main.ts', sources)
    assert.deepEqual([...files].filter(path => ['api', 'inference'].includes(roomOf(path))), [])
  })
})

suite('files', () => {
  const MAX_LINES = 400

  test(`answer one question each: none has over ${MAX_LINES} lines`, () => {
    const long = sources.filter(({ lines }) => lines > MAX_LINES).map(({ path, lines }) => `${path}: ${lines}`)
    assert.deepEqual(long, [])
  })
})
