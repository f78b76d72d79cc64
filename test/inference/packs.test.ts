import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import type { Engine, EngineOptions } from '../../src/inference/engine/engine.js'
import type { SequenceRequest } from '../../src/inference/protocol.js'
import { seededNumbers } from '../support/numbers.js'
import { type TestBase, tinyBase } from './tiny-base.js'
import { classification, collect, failingEngine, generate, promptFiles, submit, type TestService, tinyService, untimed } from './tiny-service.js'

const SETTINGS = { format: 'w8a8', slots: 12 } as const

async function alone (service: TestService, requests: readonly SequenceRequest[]): Promise<unknown[][]> {
  const answers = []
  for (const request of requests) answers.push(untimed(await collect(service, request)))
  return answers
}

suite('short inputs in one run', () => {
  let tiny: TestBase
  before(async () => { tiny = await tinyBase({ headSize: 16, hiddenSize: 64 }) })
  after(async () => { await tiny.dispose() })

  /** Of eight tasks, classification and generation in turn, some with fixed tokens in front. */
  async function requestsTo (service: TestService): Promise<SequenceRequest[]> {
    const random = seededNumbers(5)
    const requests = []
    for (let index = 0; index < 8; index++) {
      const prompt = service.artifacts.put(promptFiles(tiny.base, { method: 'prompt-tuning', virtualTokens: 2 + index, labelTokens: [5, 9, 200], value: random }))
      const inputIds = Array.from({ length: 1 + index * 4 }, (_, place) => 3 + place * 7 + index)
      const request = index % 2 === 0 ? classification(inputIds, prompt) : generate(inputIds, { prompt, maxTokens: 3 + index })
      requests.push(index < 4 ? request : { ...request, inputIds: [...Array.from({ length: 40 }, (_, place) => 2 + place), ...inputIds], fixedTokens: 40 })
    }
    return requests
  }

  test('answers are those of each alone, whatever decodes beside them', async () => {
    const service = await tinyService(tiny.base, SETTINGS)
    try {
      const requests = await requestsTo(service)
      const known = await alone(service, requests)
      assert.equal(service.service.status().packedInputsTotal, 0)
      const steps = service.service.status().stepsTotal
      assert.deepEqual((await Promise.all(requests.map(request => collect(service, request)))).map(untimed), known)
      assert.equal(service.service.status().packedInputsTotal, requests.length)
      const longest = Math.max(...known.map(({ length }) => length))
      assert.ok(service.service.status().stepsTotal - steps <= longest + 2, 'a few packs, then all decode together')

      const decoding = generate([8, 9, 10], { maxTokens: 40 })
      const [before] = await alone(service, [decoding])
      const beside = await submit(service, decoding)
      assert.deepEqual((await Promise.all(requests.map(request => collect(service, request)))).map(untimed), known)
      assert.deepEqual(untimed(await beside.done), before)
      assert.equal(service.service.status().running, 0)
    } finally {
      await service.stop(0)
    }
  })

  test('a pack that fails is told to all in it and to nobody else', async () => {
    let inPack = 0
    let fail = false
    const service = await tinyService(tiny.base, SETTINGS, async (options: EngineOptions): Promise<Engine> => {
      const engine = await failingEngine(() => false)(options)
      return {
        ...engine,
        pack: async input => {
          if (!fail) return await engine.pack!(input)
          inPack += input.inputs.length
          throw new Error('ONNX Runtime: out of memory')
        }
      }
    })
    try {
      const requests = await requestsTo(service)
      const known = await alone(service, requests)
      const long = generate(Array.from({ length: 60 }, (_, place) => 4 + place), { maxTokens: 30 })
      const [before] = await alone(service, [long])
      const beside = await submit(service, long)
      fail = true
      const failure = [{ type: 'failed', code: 'internal', message: 'the engine failed on this step' }]
      let failed = 0
      for (const [index, events] of (await Promise.all(requests.map(request => collect(service, request)))).entries()) {
        if (events[0]!.type === 'failed') failed++
        assert.deepEqual(untimed(events), events[0]!.type === 'failed' ? failure : known[index])
      }
      assert.ok(inPack > 1)
      assert.equal(failed, inPack)
      fail = false
      assert.deepEqual(untimed(await beside.done), before)
      assert.deepEqual((await Promise.all(requests.map(request => collect(service, request)))).map(untimed), known)
    } finally {
      await service.stop(0)
    }
  })

  test('one that hangs up while its pack runs leaves the others their answers', async () => {
    const hangUp = new AbortController()
    let hangsUp = false
    const service = await tinyService(tiny.base, SETTINGS, async (options: EngineOptions): Promise<Engine> => {
      const engine = await failingEngine(() => false)(options)
      return {
        ...engine,
        pack: async input => {
          const output = engine.pack!(input)
          if (hangsUp) hangUp.abort()
          return await output
        }
      }
    })
    try {
      const requests = await requestsTo(service)
      const known = await alone(service, requests)
      hangsUp = true
      const sent = await Promise.all(requests.map(async (request, index) => await submit(service, request, index === 1 ? hangUp.signal : undefined)))
      for (const [index, { done }] of sent.entries()) if (index !== 1) assert.deepEqual(untimed(await done), known[index])
      assert.deepEqual(sent[1]!.events, [])
      assert.equal(service.service.status().running, 0)
    } finally {
      await service.stop(0)
    }
  })

  test('a base of an older version is served without packs, with the same answers', async () => {
    const { folder, manifest } = tiny.base
    const { lanes, ...w8a8 } = manifest.serving.w8a8
    assert.equal(lanes, true)
    const service = await tinyService(tiny.base, SETTINGS)
    const old = await tinyService({ folder, manifest: { ...manifest, serving: { ...manifest.serving, w8a8 } } }, SETTINGS, CApiEngine.open)
    try {
      const known = await alone(service, await requestsTo(service))
      assert.deepEqual((await Promise.all((await requestsTo(old)).map(request => collect(old, request)))).map(untimed), known)
      assert.equal(old.service.status().packedInputsTotal, 0)
    } finally {
      await service.stop(0)
      await old.stop(0)
    }
  })
})
