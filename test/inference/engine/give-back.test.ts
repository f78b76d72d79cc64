import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { slotLength } from '../../../src/inference/arena.js'
import { CApiEngine } from '../../../src/inference/engine/c-api.js'
import type { StepInput } from '../../../src/inference/engine/engine.js'
import { BASE_FILES } from '../../../src/model/base.js'
import { type TestBase, tinyBase } from '../tiny-base.js'
import { collect, generate, tinyService, tokenIds } from '../tiny-service.js'
import { residentBytes } from './resident.js'

const SLOTS = 8
const POSITIONS = 16_384
/** At each border between what is in use and what is not, a huge page may belong to both. */
const BORDER = 2 * 2 ** 20

suite('memory of slots', () => {
  let tiny: TestBase
  before(async () => { tiny = await tinyBase({ contextLength: POSITIONS }) })
  after(async () => { await tiny.dispose() })

  test('costs nothing before a slot is used, and goes back without touching what other slots hold', async () => {
    const engine = await CApiEngine.open({ file: join(tiny.base.folder, BASE_FILES.serving.w8a8), config: tiny.base.manifest.config, slots: SLOTS, positions: POSITIONS, threads: 1 })
    try {
      const { arena } = engine
      const slotBytes = slotLength(arena.shape) * 4
      const atMost = (slots: number): number => arena.parts.length * (slots * slotBytes + 2 * BORDER)
      assert.equal(residentBytes(arena), 0)

      const step: StepInput = { firstSlot: 0, rows: 1, ids: [5, 6, 7], lengths: [3], hiddenRows: [2], logitRows: [0] }
      const logits = (await engine.step(step)).logits.slice()
      assert.ok(residentBytes(arena) > 0)
      assert.ok(residentBytes(arena) <= atMost(1))

      for (const part of arena.parts) part.fill(7)
      assert.ok(residentBytes(arena) >= arena.parts.length * SLOTS * slotBytes)
      engine.giveBack(2, 7)
      assert.ok(residentBytes(arena) <= atMost(3), `${residentBytes(arena)} bytes of ${atMost(SLOTS)}`)
      for (const part of arena.parts) {
        for (const kept of [part.subarray(0, 2 * slotLength(arena.shape)), part.subarray(7 * slotLength(arena.shape))]) assert.ok(kept.every(value => value === 7))
        assert.equal(part[4 * slotLength(arena.shape)], 0)
      }
      for (const firstSlot of [0, 4]) assert.deepEqual((await engine.step({ ...step, firstSlot })).logits, logits)
    } finally {
      await engine.close()
    }
  })

  test('goes back when no step has used the slot since it was last asked, and is there again for the next request', async () => {
    const service = await tinyService(tiny.base, { slots: SLOTS, maxContext: POSITIONS })
    const { loop, engine: { arena } } = service
    try {
      const request = generate([3, 4, 5], { maxTokens: 4 })
      const together = async (): Promise<number[][]> => (await Promise.all(Array.from({ length: SLOTS }, async () => await collect(service, request)))).map(tokenIds)
      const before = await together()
      const grown = residentBytes(arena)
      assert.equal(loop.shrink(), 0, 'they were used since the start')
      assert.equal(residentBytes(arena), grown)
      await collect(service, request)
      assert.equal(loop.shrink(), SLOTS - 1)
      const shrunk = residentBytes(arena)
      assert.ok(shrunk < grown, `${shrunk} of ${grown} bytes`)
      assert.equal(loop.shrink(), 0, 'nothing is left to give back')
      assert.deepEqual(await together(), before)
      assert.ok(residentBytes(arena) > shrunk)
    } finally {
      await service.stop(0)
    }
  })
})
