import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { begin, checkRoom, chunkOf, complete, enqueue, MAX_CHUNK, newSchedule, nextStep, remove, type Schedule } from '../../src/inference/scheduler.js'
import { seededNumbers } from '../support/numbers.js'

interface Item { readonly arrival: number, remaining: number, readonly name: string }
type State = Schedule<Item, Item>

const item = (arrival: number, remaining: number): Item => ({ arrival, remaining, name: `s${arrival}` })

/** Sizes of the chunks of an input. */
function cut (tokens: number): number[] {
  const chunks: number[] = []
  for (let left = tokens; left > 0; left -= chunks.at(-1)!) chunks.push(chunkOf(left))
  return chunks
}

/** What the next steps are, in words. */
function run (state: State, steps: number): string[] {
  return Array.from({ length: steps }, () => {
    const step = nextStep(state)
    begin(state, step)
    complete(state, step)
    switch (step.kind) {
      case 'idle': return 'idle'
      case 'decode': return `decode ${state.rows.slice(0, step.rows).map(({ name }) => name).join()}`
      case 'prefill': return `prefill ${step.item.name} in ${step.slot}: ${step.tokens}`
      case 'compile': return `compile ${step.item.name}: ${step.tokens}`
    }
  })
}

suite('scheduler', () => {
  test('an input is cut into chunks that never leave one token over', () => {
    assert.deepEqual([1, 2, 256, 257, 258, 512, 513, 514, 1025].map(cut), [[1], [2], [256], [255, 2], [256, 2], [256, 256], [256, 255, 2], [256, 256, 2], [256, 256, 256, 255, 2]])
    for (let tokens = 2; tokens < 2000; tokens++) assert.ok(cut(tokens).every(chunk => chunk > 1 && chunk <= MAX_CHUNK))
  })

  test('a sequence is taken in and then decodes', () => {
    const state: State = newSchedule(2, 4)
    enqueue(state.waiting, item(0, 300))
    assert.deepEqual(run(state, 4), ['prefill s0 in 0: 256', 'prefill s0 in 0: 44', 'decode s0', 'decode s0'])
  })

  test('rows decode together while an input is taken in, turn by turn', () => {
    const state: State = newSchedule(3, 4)
    enqueue(state.waiting, item(0, 5))
    enqueue(state.waiting, item(1, 600))
    assert.deepEqual(run(state, 8), ['prefill s0 in 0: 5', 'decode s0', 'prefill s1 in 1: 256', 'decode s0', 'prefill s1 in 1: 256', 'decode s0', 'prefill s1 in 1: 88', 'decode s0,s1'])
  })

  test('the earliest arrival is taken in first, also when it became ready later', () => {
    const state: State = newSchedule(3, 4)
    enqueue(state.waiting, item(5, 3))
    enqueue(state.waiting, item(2, 3))
    enqueue(state.waiting, item(7, 3))
    assert.deepEqual(state.waiting.map(({ arrival }) => arrival), [2, 5, 7])
    assert.equal(run(state, 1)[0], 'prefill s2 in 0: 3')
  })

  test('who finds no free slot waits until a row leaves', () => {
    const state: State = newSchedule(1, 4)
    const first = item(0, 3)
    enqueue(state.waiting, first)
    enqueue(state.waiting, item(1, 3))
    assert.deepEqual(run(state, 3), ['prefill s0 in 0: 3', 'decode s0', 'decode s0'])
    assert.deepEqual(remove(state, first), [])
    assert.deepEqual(run(state, 2), ['prefill s1 in 0: 3', 'decode s1'])
  })

  test('a prompt is compiled in its turn, between decode steps, also when no slot is free', () => {
    const state: State = newSchedule(1, 4)
    enqueue(state.waiting, item(0, 3))
    enqueue(state.compilations, item(1, 300))
    enqueue(state.waiting, item(2, 3))
    assert.deepEqual(run(state, 5), ['prefill s0 in 0: 3', 'decode s0', 'compile s1: 256', 'decode s0', 'compile s1: 44'])
    assert.equal(state.compilations.length, 0)
  })

  test('the last decoding row fills a hole and the row behind it closes up', () => {
    const state: State = newSchedule(4, 4)
    const items = [0, 1, 2, 3].map(arrival => item(arrival, arrival === 3 ? 600 : 2))
    for (const each of items) enqueue(state.waiting, each)
    run(state, 8) // 3 rows decode, the last one is half way in
    assert.equal(items[3]!.remaining, 344)
    assert.deepEqual(remove(state, items[0]!), [{ item: items[2], from: 2, to: 0 }, { item: items[3], from: 3, to: 2 }])
    assert.deepEqual(state.rows.map(({ name }) => name), ['s2', 's1', 's3'])
    assert.deepEqual(remove(state, items[1]!), [{ item: items[3], from: 2, to: 1 }])
    assert.deepEqual(remove(state, items[3]!), [])
    assert.deepEqual(state.rows.map(({ name }) => name), ['s2'])
  })

  test('a sequence that waits leaves without a move', () => {
    const state: State = newSchedule(1, 4)
    const waiting = item(0, 3)
    enqueue(state.waiting, waiting)
    assert.deepEqual(remove(state, waiting), [])
    assert.deepEqual(run(state, 1), ['idle'])
  })

  test('as many wait as may, then new ones are refused with a time to come back', () => {
    const state: State = newSchedule(2, 3)
    for (let arrival = 0; arrival < 4; arrival++) {
      checkRoom(state, 0)
      enqueue(state.waiting, item(arrival, 3))
    }
    checkRoom(state, 0) // two of the four will take the free slots
    assert.throws(() => checkRoom(state, 1), (error: unknown) => error instanceof ServiceError && error.code === 'saturated' && error.retryAfter === 3)
    run(state, 3)
    assert.equal(state.rows.length, 2)
    checkRoom(state, 0)
    assert.throws(() => checkRoom(state, 1))
  })

  test('10,000 random events keep every row in its place', () => {
    const random = seededNumbers(1)
    const below = (limit: number): number => Math.floor((random() + 1) / 2 * limit)
    const state: State = newSchedule(5, 20)
    /** What each slot of an arena would hold. */
    const slots: Array<string | undefined> = []
    const alive: Item[] = []
    let lastTakenIn = -1
    for (let event = 0; event < 10_000; event++) {
      if (below(3) === 0 && state.waiting.length < 20) {
        const fresh = item(event, 1 + below(700))
        alive.push(fresh)
        enqueue(state.waiting, fresh)
      }
      if (below(6) === 0 && alive.length > 0) {
        const [gone] = alive.splice(below(alive.length), 1)
        for (const move of remove(state, gone!)) {
          assert.equal(slots[move.from], move.item.name)
          slots[move.to] = move.item.name
        }
      }
      const step = nextStep(state)
      begin(state, step)
      if (step.kind === 'prefill') {
        if (slots[step.slot] !== step.item.name) {
          assert.ok(step.item.arrival > lastTakenIn)
          lastTakenIn = step.item.arrival
        }
        slots[step.slot] = step.item.name
      }
      complete(state, step)
      for (const [slot, row] of state.rows.entries()) {
        assert.equal(slots[slot], row.name)
        if (row.remaining > 0) assert.equal(slot, state.rows.length - 1)
      }
      assert.ok(state.rows.length <= 5)
      if (step.kind === 'idle') assert.equal(state.rows.length + state.waiting.length, 0)
    }
  })
})
