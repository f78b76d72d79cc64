/** What version 1 left unfinished is finished, and what it published is served. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { pino } from 'pino'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import { startService } from '../../src/inference/start-service.js'
import { loadTokenizer } from '../../src/model/bpe-tokenizer.js'
import { readArtifact } from '../../src/prompt/artifact-files.js'
import { renderTemplate } from '../../src/prompt/template.js'
import { checkpointPrefix } from '../../src/registry/store/object-keys.js'
import { classification, collect, generate, SETTINGS, tokenIds } from '../inference/tiny-service.js'
import { facts, storedEvents } from './snapshot.js'
import { openTestbed, type Testbed } from './testbed.js'

const { tenant, jobs } = facts

suite('the jobs of version 1', { timeout: 60_000 }, () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('go on where they were: one from its checkpoint, one from the start', async () => {
    const { registry, stores, base } = bed
    const stored = storedEvents(jobs.running)
    const savedAt = Math.max(...stored.map(({ event }) => event.type === 'checkpoint' ? event.step : 0))
    assert.ok(savedAt > 0)
    assert.equal((await stores.objects.list(checkpointPrefix(tenant, jobs.running))).length, 1)
    const worker = bed.startWorker()

    const events = await bed.events(jobs.running)
    assert.deepEqual(events.slice(0, stored.length), stored)
    const sinceThen = events.slice(stored.length).map(({ event }) => event)
    assert.deepEqual(sinceThen.filter(event => 'step' in event && event.step <= savedAt), [])
    assert.deepEqual([sinceThen[0], sinceThen.at(-1)], [{ type: 'state', state: 'running' }, { type: 'state', state: 'succeeded' }])
    await bed.events(jobs.queued)

    for (const [task, id, number] of [['animals', jobs.running, 3], ['sentences', jobs.queued, 2]] as const) {
      const { state, version } = await registry.getJob(tenant, id)
      assert.deepEqual([state, version], ['succeeded', number])
      const resolved = await registry.resolve(tenant, task)
      assert.deepEqual([resolved.version.number, resolved.version.job], [number, id])
      assert.equal(readArtifact(await stores.artifacts.get(resolved.version.digest), { base: facts.base, config: base.manifest.config }).manifest.job, id)
    }
    assert.deepEqual(await stores.objects.list('checkpoints/'), [])
    assert.equal(await worker.stop(), 0)
  })

  test('that come from before token_dropout leave out nothing', async () => {
    const { registry, stores, base } = bed
    const { data } = await registry.getJob(tenant, jobs.running)
    const { token_dropout: dropout, ...recipe } = { ...data.recipe, max_steps: 10, evaluations: 1 }
    assert.notEqual(dropout, 0)
    await registry.createJob({ ...data, job: 'job_before', recipe })
    await registry.createJob({ ...data, job: 'job_without', recipe: { ...recipe, token_dropout: 0 } })
    assert.deepEqual((await registry.getJob(tenant, 'job_before')).recipe, { ...recipe, token_dropout: 0 })
    const worker = bed.startWorker()
    for (const job of ['job_before', 'job_without']) await bed.events(job)
    const [before, without] = await Promise.all((await registry.listVersions(tenant, 'animals')).slice(-2).map(async ({ digest }) =>
      readArtifact(await stores.artifacts.get(digest), { base: facts.base, config: base.manifest.config })))
    assert.deepEqual(before?.embeddings, without?.embeddings)
    assert.deepEqual(before?.manifest.recipe, without?.manifest.recipe)
    assert.equal(await worker.stop(), 0)
  })
})

suite('the prompts of version 1', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('answer as they did then', async () => {
    const { registry, stores, base } = bed
    const tokenizer = await loadTokenizer(base.folder)
    const service = await startService(base, stores.artifacts, SETTINGS, pino({ level: 'silent' }), CApiEngine.open)
    try {
      for (const { prompt, input, digest, scores, text } of facts.inferences) {
        const { task: { spec }, version } = await registry.resolve(tenant, prompt)
        assert.equal(version.digest, digest)
        const ids = tokenizer.encode(renderTemplate(spec.template, input))
        const events = await collect(service, scores === undefined ? generate(ids, { prompt: digest, maxTokens: 12 }) : classification(ids, digest))
        if (scores === undefined) {
          assert.equal(tokenizer.decode(tokenIds(events)), text)
          continue
        }
        const [answer] = events
        assert.ok(answer?.type === 'scores')
        spec.verbalizer?.labels.forEach(({ name }, i) => {
          assert.ok(Math.abs(answer.probabilities[i]! - scores[name]!) < 1e-4, `${prompt}: ${name} is ${answer.probabilities[i]}, it was ${scores[name]}`)
        })
      }
    } finally {
      await service.stop(0)
    }
  })
})
