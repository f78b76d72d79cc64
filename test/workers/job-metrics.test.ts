import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Registry as MetricsRegistry } from 'prom-client'
import { JobMetrics } from '../../workers/job-metrics.js'

suite('metrics of jobs', () => {
  test('tell how the running one goes, and what became of each', async () => {
    const registry = new MetricsRegistry()
    const metrics = new JobMetrics(registry)
    const values = async (): Promise<string[]> => (await registry.metrics()).split('\n').filter(line => line !== '' && !line.startsWith('#'))
    metrics.started()
    metrics.observe({ type: 'checkpoint', step: 10 })
    metrics.observe({ type: 'step', step: 10, steps: 40, loss: 1, learning_rate: 0.1, grad_norm: 1, tokens_per_second: 500, eta_seconds: 3 })
    assert.deepEqual(await values(), ['permafrost_job_running 1', 'permafrost_job_progress 0.25', 'permafrost_job_tokens_per_second 500'])
    metrics.ended('succeeded')
    metrics.started()
    metrics.ended('error')
    assert.deepEqual(await values(), [
      'permafrost_jobs_total{outcome="succeeded"} 1', 'permafrost_jobs_total{outcome="error"} 1',
      'permafrost_job_running 0', 'permafrost_job_progress 0', 'permafrost_job_tokens_per_second 0'
    ])
  })
})
