/** What docs/operations.md names is there under this name: an alert on a metric that does not exist never fires. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { collectDefaultMetrics, Registry as MetricsRegistry } from 'prom-client'
import { createMetrics } from '../../src/api/metrics.js'
import { ConfigSchema } from '../../src/config.js'
import { measureReplicas } from '../../src/inference/client-metrics.js'
import { PROJECT_ROOT } from '../../src/project.js'
import { JobMetrics } from '../../workers/job-metrics.js'
import { ScriptedInference } from '../api/scripted-inference.js'
import { sourcesBelow } from './sources.js'

const read = (path: string): string => readFileSync(join(PROJECT_ROOT, path), 'utf8')
const page = read('docs/operations.md')

function named (pattern: RegExp): string[] {
  const names = [...new Set([...page.matchAll(pattern)].map(([name]) => name))]
  assert.ok(names.length > 3, 'the pattern finds what the page names')
  return names
}

suite('docs/operations.md', () => {
  test('names metrics that a process has', () => {
    const registries = Array.from({ length: 3 }, () => new MetricsRegistry())
    const [api, inference, worker] = registries as [MetricsRegistry, MetricsRegistry, MetricsRegistry]
    collectDefaultMetrics({ register: api })
    createMetrics(api, new ScriptedInference(), { countWaitingJobs: async () => 0 })
    measureReplicas(inference, () => [])
    new JobMetrics(worker).started()
    const metrics = new Set(registries.flatMap(registry => registry.getMetricsAsArray().map(({ name }) => name)))
    const unknown = named(/\b(permafrost|nodejs|process)_[a-z0-9_]+[a-z0-9]\b/g).filter(name => !metrics.has(name.replace(/_(count|sum|bucket)$/, '')))
    assert.deepEqual(unknown, [])
  })

  test('names settings of a process, of the compose file or of Redis', () => {
    const elsewhere = read('docker-compose.yml')
    const unknown = named(/`[A-Z][A-Z0-9]*_[A-Z0-9_]+/g)
      .map(name => name.slice(1))
      .filter(name => !Object.hasOwn(ConfigSchema.properties, name.replace(/_FILE$/, '')) && !elsewhere.includes(`{${name}:`))
    assert.deepEqual(unknown, [])
  })

  test('quotes log lines as they are written', () => {
    const [, table = ''] = page.split('| `msg` | from | means |')
    const quoted = [...table.matchAll(/^\| `([^`]+?)(?: \.\.\.)?`/gm)].map(([, line]) => line!)
    assert.ok(quoted.length > 3)
    const sources = sourcesBelow('src', 'workers').map(({ path }) => read(path)).join('\n')
    assert.deepEqual(quoted.filter(line => !sources.includes(line)), [])
  })
})
