import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { chunkOf, costOf, MAX_CHUNK, STEP_TOKENS } from '../../src/inference/chunks.js'
import { begin, drop, enqueue, nextStep, remove } from '../../src/inference/scheduler.js'
import { seededNumbers } from '../support/numbers.js'
import { behind, below, inWords, item, type Item, newState, runStep, type State } from './schedule-driver.js'

/** Sizes of the chunks of an input. */
function cut (tokens: number): number[] {
  const chunks: number[] = []
  for (let left = tokens; left > 0; left -= chunks.at(-1)!) chunks.push(chunkOf(left))
  return chunks
}

function run (state: State, steps: number): string[] {
  return Array.from({ length: steps }, () => inWords(state))
}

function wait (state: State, ...items: Item[]): void {
  for (const each of items) enqueue(state, state.waiting, each)
}

suite('scheduler', () => {
  test('an input is cut into chunks that never leave one token over', () => {
    assert.deepEqual([1, 2, 256, 257, 258, 512, 513, 514, 1025].map(cut), [[1], [2], [256], [255, 2], [256, 2], [256, 256], [256, 255, 2], [256, 256, 2], [256, 256, 256, 255, 2]])
    for (let tokens = 2; tokens < 2000; tokens++) assert.ok(cut(tokens).every(chunk => chunk > 1 && chunk <= MAX_CHUNK))
  })

  test('a sequence is taken in and then decodes', () => {
    const state = newState(2, 4)
    wait(state, item(0, 300))
    assert.deepEqual(run(state, 4), ['prefill s0 in 0: 256', 'prefill s0 in 0: 44', 'decode s0', 'decode s0'])
  })

  test('rows decode together while an input is taken in: a long chunk is paid back by decode steps', () => {
    const state = newState(3, 4)
    wait(state, item(0, 5), item(1, 600))
    assert.deepEqual(run(state, 11), [
      'prefill s0 in 0: 5', 'decode s0', 'prefill s1 in 1: 256', 'decode s0', 'decode s0', 'decode s0',
      'prefill s1 in 1: 256', 'decode s0', 'decode s0', 'prefill s1 in 1: 88', 'decode s0,s1'
    ])
  })

  test('short inputs share the budget of a step', () => {
    const state = newState(8, 8)
    wait(state, item(0, 5), ...[1, 2, 3, 4].map(arrival => item(arrival, 30)))
    assert.deepEqual(run(state, 7), [
      'prefill s0 in 0: 5', 'prefill s1 in 1: 30', 'prefill s2 in 2: 30', 'decode s0,s1,s2',
      'prefill s3 in 3: 30', 'prefill s4 in 4: 30', 'decode s0,s1,s2,s3,s4'
    ])
  })

  test('an input of one chunk does not wait for a long one: it decodes first, and they take turns', () => {
    const state = newState(4, 8)
    wait(state, item(0, 1000))
    assert.deepEqual(run(state, 1), ['prefill s0 in 0: 256'])
    wait(state, item(1, 20), item(2, 20, { output: 0 }), item(3, 500))
    assert.deepEqual(run(state, 1), ['prefill s0 in 0: 256'])
    const ran = runStep(state)
    assert.deepEqual(ran.moves, [{ item: state.rows[1], from: 0, to: 1 }])
    assert.deepEqual(state.rows.map(({ name }) => name), ['s1', 's0'])
    assert.deepEqual(run(state, 7), [
      'decode s1', 'prefill s0 in 1: 256', 'decode s1', 'decode s1', 'prefill s2 in 1: 20', 'decode s1', 'prefill s0 in 1: 232'
    ])
    assert.deepEqual(run(state, 3), ['decode s1,s0', 'decode s1,s0', 'prefill s3 in 2: 256'])
  })

  test('the earliest arrival of a tenant is taken in first, also when it became ready later', () => {
    const state = newState(3, 4)
    wait(state, item(5, 3), item(2, 3), item(7, 3))
    assert.deepEqual(state.waiting.map(({ arrival }) => arrival), [2, 5, 7])
    assert.equal(run(state, 1)[0], 'prefill s2 in 0: 3')
  })

  test('who finds no free slot waits until a row leaves', () => {
    const state = newState(1, 4)
    const first = item(0, 3)
    wait(state, first, item(1, 3))
    assert.deepEqual(run(state, 3), ['prefill s0 in 0: 3', 'decode s0', 'decode s0'])
    assert.deepEqual(remove(state, first), [])
    assert.deepEqual(run(state, 2), ['prefill s1 in 0: 3', 'decode s1'])
  })

  test('a prompt is compiled in its turn, between decode steps, also when no slot is free', () => {
    const state = newState(1, 4)
    wait(state, item(0, 3), item(2, 3))
    enqueue(state, state.compilations, item(1, 300))
    assert.deepEqual(run(state, 6), ['prefill s0 in 0: 3', 'decode s0', 'compile s1: 256', 'decode s0', 'decode s0', 'compile s1: 44'])
    assert.equal(state.compilations.length, 0)
  })

  test('the scratch slot is one prompt\'s until it is compiled, also when an earlier one becomes ready', () => {
    const state = newState(1, 4)
    const first = item(5, 600)
    enqueue(state, state.compilations, first)
    assert.deepEqual(run(state, 1), ['compile s5: 256'])
    enqueue(state, state.compilations, item(2, 300))
    assert.deepEqual(run(state, 3), ['compile s5: 256', 'compile s5: 88', 'compile s2: 256'])
    drop(state, state.compilations[0]!)
    assert.deepEqual(run(state, 1), ['idle'])
  })

  test('the last decoding row fills a hole and the row behind it closes up', () => {
    const state = newState(4, 4)
    const items = [0, 1, 2, 3].map(arrival => item(arrival, arrival === 3 ? 600 : 2))
    wait(state, ...items)
    while (items[3]!.remaining === 600) runStep(state)
    assert.deepEqual(remove(state, items[0]!), [{ item: items[2], from: 2, to: 0 }, { item: items[3], from: 3, to: 2 }])
    assert.deepEqual(state.rows.map(({ name }) => name), ['s2', 's1', 's3'])
    assert.deepEqual(remove(state, items[1]!), [{ item: items[3], from: 2, to: 1 }])
    assert.deepEqual(remove(state, items[3]!), [])
    assert.deepEqual(state.rows.map(({ name }) => name), ['s2'])
  })

  test('an input that overtook and fails leaves the long one in its place', () => {
    const state = newState(4, 4)
    const [long, short] = [item(0, 600), item(1, 5)]
    wait(state, long)
    run(state, 2)
    wait(state, short)
    assert.deepEqual(begin(state, nextStep(state)), [{ item: long, from: 0, to: 1 }])
    assert.deepEqual(remove(state, short), [{ item: long, from: 1, to: 0 }])
    assert.deepEqual(run(state, 1), ['prefill s0 in 0: 88'])
  })

  test('a sequence that waits leaves without a move', () => {
    const state = newState(1, 4)
    const waiting = item(0, 3)
    wait(state, waiting)
    assert.deepEqual(remove(state, waiting), [])
    assert.deepEqual(run(state, 1), ['idle'])
  })

  test('20,000 random events keep every row in its place, every chunk whole and decoding rows within their wait', () => {
    const random = below(seededNumbers(1))
    const state = newState(5, 30, 1500)
    /** What each slot of an arena would hold. */
    const slots: Array<string | undefined> = []
    const alive = new Set<Item>()
    const chunks = new Map<Item, number[]>()
    let sinceDecode = 0
    const kept = new Set<Item>()
    let overtakings = 0
    let returned = 0
    let exchanged = 0
    const follow = (moves: ReadonlyArray<{ item: Item, from: number, to: number }>): void => {
      for (const move of moves) {
        assert.equal(slots[move.from], move.item.name)
        slots[move.to] = move.item.name
      }
    }
    for (let event = 0; event < 20_000; event++) {
      if (random(3) === 0 && alive.size < 30) {
        const fresh = item(event, 1 + random(random(3) === 0 ? 1000 : 60), { tenant: `t${random(10) < 8 ? 0 : 1 + random(3)}`, output: random(12) })
        alive.add(fresh)
        enqueue(state, random(8) === 0 ? state.compilations : state.waiting, fresh)
      }
      const rows = [...state.rows]
      const isBehind = behind(state)
      const decoding = rows.some(({ remaining, tenant }) => remaining === 0 && !isBehind.has(tenant))
      const { step, ended, moves } = runStep(state)
      if (step.kind === 'prefill') {
        // The step back happens before the step runs, whatever ends happens behind it.
        if (moves[0]?.item !== undefined && rows.indexOf(moves[0].item) === step.slot && rows[step.slot] !== step.item) {
          follow([moves[0]])
          slots[step.slot] = step.item.name
          follow(moves.slice(1))
          overtakings++
        } else {
          slots[step.slot] = step.item.name
          follow(moves)
        }
      } else if (step.kind === 'return') {
        follow(moves)
        slots[step.slot] = step.item.name
        assert.ok(kept.delete(step.item))
        returned++
      } else {
        if (step.kind === 'leave') {
          assert.equal(slots[step.slot], step.item.name)
          kept.add(step.item)
          assert.ok([...kept].reduce((sum, { length }) => sum + length, 0) <= 1500)
        }
        if (step.kind === 'decode') {
          for (const [a, b] of step.exchanges) {
            [slots[a], slots[b]] = [slots[b], slots[a]]
            exchanged++
          }
        }
        follow(moves)
      }
      if (step.kind === 'prefill' || step.kind === 'compile') {
        chunks.set(step.item, [...chunks.get(step.item) ?? [], step.tokens])
        sinceDecode = decoding ? sinceDecode + costOf(step.tokens) : 0
        assert.ok(sinceDecode <= Math.max(STEP_TOKENS, costOf(MAX_CHUNK)), `${sinceDecode} tokens between two decode steps`)
      } else if (step.kind === 'decode') sinceDecode = 0
      const done = step.kind === 'compile' && step.item.remaining === 0 ? [step.item] : ended
      for (const each of done) {
        alive.delete(each)
        assert.deepEqual(chunks.get(each), cut(each.input), 'chunks depend on the input alone')
      }
      if (random(12) === 0 && alive.size > 0) {
        const gone = [...alive][random(alive.size)]!
        alive.delete(gone)
        kept.delete(gone)
        if (state.compilations.includes(gone)) drop(state, gone)
        else follow(remove(state, gone))
      }
      for (const [slot, row] of state.rows.entries()) {
        assert.equal(slots[slot], row.name)
        if (row.remaining > 0) assert.equal(slot, state.rows.length - 1)
      }
      assert.ok(state.rows.length <= 5)
      if (step.kind === 'idle') assert.equal(state.rows.length + state.waiting.length + state.compilations.length, 0)
    }
    assert.ok(overtakings > 100, `${overtakings} inputs overtook a long one`)
    assert.ok(returned > 100 && exchanged > 100, `${returned} rows came back, ${exchanged} changed places`)
  })
})
