import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { AGE_EVERY, counterOf, INPUT_WEIGHT, MAX_PASSED, OUTPUT_WEIGHT } from '../../src/inference/fair-share.js'
import { OWED_AT_MOST } from '../../src/inference/precedence.js'
import { enqueue, remove } from '../../src/inference/scheduler.js'
import { seededNumbers } from '../support/numbers.js'
import { behind, below, inWords, item, newState, runStep, type Item, type State } from './schedule-driver.js'

/** Ends with its input. */
function short (arrival: number, input: number, tenant: string): Item {
  return item(arrival, input, { tenant, output: 0 })
}

function wait (state: State, ...items: Item[]): void {
  for (const each of items) enqueue(state, state.waiting, each)
}

/** Names in the order in which they are taken in. */
function takenIn (state: State, count: number): string[] {
  const names: string[] = []
  while (names.length < count) {
    const { taken } = runStep(state)
    if (taken !== null) names.push(taken.name)
  }
  return names
}

suite('fair share', () => {
  test('input and decoded tokens count by their weights', () => {
    const state = newState(2, 9)
    wait(state, item(0, 40, { tenant: 'a', output: 9 }), item(1, 7, { tenant: 'b', output: 9 }))
    for (let step = 0; step < 5; step++) runStep(state)
    assert.equal(counterOf(state.shares, 'a') - counterOf(state.shares, 'b'), INPUT_WEIGHT * 33)
    assert.equal(counterOf(state.shares, 'b'), INPUT_WEIGHT * 7 + OUTPUT_WEIGHT * 3)
  })

  test('what a tenant is served counts by its weight', () => {
    const state = newState(1, 99)
    wait(state, ...Array.from({ length: 60 }, (_, i) => item(i, 50, { output: 0, ...(i % 2 === 0 ? { tenant: 'double', weight: 2 } : { tenant: 'single' }) })))
    const names = takenIn(state, 30).map(name => Number(name.slice(1)) % 2 === 0 ? 'double' : 'single')
    assert.equal(names.filter(name => name === 'double').length, 20)
  })

  test('whoever was served least is next, the earlier arrival among equals', () => {
    const state = newState(1, 9)
    wait(state, short(0, 100, 'a'), short(1, 100, 'a'), short(2, 100, 'a'), short(3, 40, 'b'), short(4, 40, 'b'), short(5, 40, 'b'), short(6, 40, 'b'))
    assert.deepEqual(takenIn(state, 7), ['s0', 's3', 's4', 's5', 's1', 's6', 's2'])
  })

  test('a tenant that comes back saved nothing up and starts behind nobody', () => {
    const state = newState(1, 99)
    wait(state, short(0, 100, 'idle'), ...Array.from({ length: 30 }, (_, i) => short(1 + i, 100, i % 2 === 0 ? 'a' : 'b')))
    takenIn(state, 21)
    wait(state, short(40, 100, 'idle'), short(41, 100, 'idle'), short(42, 100, 'new'), short(43, 100, 'new'))
    assert.deepEqual(['a', 'b', 'idle', 'new'].map(tenant => counterOf(state.shares, tenant)), [1000, 1000, 1000, 1000])
    assert.deepEqual(takenIn(state, 8), ['s21', 's22', 's40', 's42', 's23', 's24', 's41', 's43'])
  })

  test('with nobody waiting, a newcomer starts where the last that was taken in is', () => {
    const state = newState(3, 9)
    wait(state, item(0, 100, { tenant: 'a' }))
    assert.equal(inWords(state), 'prefill s0 in 0: 100')
    wait(state, item(1, 5, { tenant: 'b' }))
    assert.equal(counterOf(state.shares, 'b'), 100)
  })

  test('nobody left, nothing remembered; many gone tenants, only those who had more than those who wait', () => {
    const state = newState(1, 9)
    const first = item(0, 100, { tenant: 'a' })
    wait(state, first)
    runStep(state)
    for (let other = 0; other < 2000; other++) state.shares.counters.set(`gone ${other}`, other)
    wait(state, item(1, 5, { tenant: 'b' }), item(2, 5, { tenant: 'b' }))
    remove(state, first)
    assert.equal(counterOf(state.shares, 'b'), 100)
    assert.deepEqual([state.shares.counters.has('gone 100'), state.shares.counters.has('gone 101'), state.shares.counters.size], [false, true, 1899 + 2])
    while (state.waiting.length > 0) remove(state, state.waiting[0]!)
    assert.equal(state.shares.counters.size, 0)
  })

  test('new tenants without end do not keep a request out for ever', () => {
    const state = newState(1, 99)
    wait(state, item(0, 1000, { tenant: 'old', output: 0 }), item(1, 5, { tenant: 'new 1', output: 0 }))
    runStep(state)
    const old = [2, 3, 4].map(arrival => item(arrival, 30, { tenant: 'old', output: 0 }))
    wait(state, ...old)
    let arrival = 5
    const passedBy: number[] = []
    while (passedBy.length < old.length) {
      wait(state, item(arrival, 5, { tenant: `new ${arrival}`, output: 0 }))
      arrival++
      const { taken, passed } = runStep(state)
      if (old.includes(taken!)) passedBy.push(passed)
      assert.ok(arrival < 1000, 'an old request starves')
    }
    for (const [older, passed] of passedBy.entries()) assert.ok(passed >= MAX_PASSED && passed <= MAX_PASSED + AGE_EVERY * (older + 1), `passed by ${passed}`)
  })

  for (const policy of ['fair', 'first come, first served'] as const) {
    test(`tenants that always wait are served within the bound of the theorem: ${policy === 'fair' ? 'yes' : 'not by'} ${policy}`, () => {
      const [slots, longest, most] = [6, 400, 30]
      // One that stands behind gives way until it is owed so much, and then waits for a slot once more.
      const bound = 3 * Math.max(INPUT_WEIGHT * longest, OUTPUT_WEIGHT * slots * most) + OWED_AT_MOST
      const random = below(seededNumbers(7))
      const state = newState(slots, 999)
      const tenants = ['small', 'large', 'flood']
      const served = new Map(tenants.map(tenant => [tenant, 0]))
      const tenantOf = new Map<Item, string>()
      /** Of the difference between two tenants, since the start. */
      const least = new Map<string, number>()
      const largest = new Map<string, number>()
      let arrivals = 0
      const arrive = (tenant: string): void => {
        const large = tenant === 'large'
        const fresh = item(arrivals++, large ? 200 + random(longest - 199) : 1 + random(20), { tenant: policy === 'fair' ? tenant : 'all', output: large ? most : random(10) })
        tenantOf.set(fresh, tenant)
        wait(state, fresh)
      }
      const add = (each: Item, tokens: number): void => { served.set(tenantOf.get(each)!, served.get(tenantOf.get(each)!)! + tokens) }
      for (let step = 0; step < 20_000; step++) {
        for (const tenant of tenants) {
          for (let waiting = state.waiting.filter(each => tenantOf.get(each) === tenant).length; waiting < 2; waiting++) arrive(tenant)
        }
        // 20 times what the others ask for.
        if (state.waiting.length < 100) for (let i = 0; i < 20; i++) arrive('flood')
        const rows = [...state.rows]
        const { step: ran, taken } = runStep(state)
        if (taken !== null) add(taken, INPUT_WEIGHT * taken.input)
        if (ran.kind === 'decode') {
          for (const [one, other] of ran.exchanges) [rows[one], rows[other]] = [rows[other]!, rows[one]!]
          for (const row of rows.slice(0, ran.rows)) add(row, OUTPUT_WEIGHT)
        }
        for (const a of tenants) {
          for (const b of tenants) {
            const difference = served.get(a)! - served.get(b)!
            least.set(a + b, Math.min(least.get(a + b) ?? 0, difference))
            largest.set(a + b, Math.max(largest.get(a + b) ?? 0, difference))
          }
        }
      }
      const widest = Math.max(...[...largest].map(([pair, most]) => most - least.get(pair)!))
      if (policy === 'fair') assert.ok(widest <= bound, `${widest} apart, bound ${bound}`)
      else assert.ok(widest > 5 * bound, `${widest} apart, bound ${bound}`)
    })
  }

  test('random arrivals of many tenants: all are served whole, no slot stays empty while one waits, nobody waits beyond the bound', () => {
    const random = below(seededNumbers(11))
    const [slots, chunks] = [6, 4]
    const state = newState(slots, 999)
    const unserved = new Map<Item, { older: number }>()
    let arrivals = 0
    let decodesInARow = 0
    let idle = 0
    for (let step = 0; step < 40_000 || state.rows.length + state.waiting.length > 0; step++) {
      // Calm and rush hour by turns.
      const arrive = step < 40_000 && (random(step % 4000 < 500 ? 8 : 400) === 0) ? 1 + random(6) : 0
      for (let i = 0; i < arrive; i++) {
        const fresh = item(arrivals++, 1 + random(random(10) === 0 ? 1000 : 100), { tenant: `t${random(random(2) === 0 ? 2 : 200)}`, output: random(40) })
        unserved.set(fresh, { older: state.waiting.length })
        wait(state, fresh)
      }
      const isBehind = behind(state)
      const waits = state.waiting.length
      const waitsInFront = state.waiting.some(({ tenant }) => !isBehind.has(tenant))
      const free = slots - state.rows.length
      const { step: ran, taken, passed, ended } = runStep(state)
      if (taken !== null) assert.ok(passed <= MAX_PASSED + (AGE_EVERY + chunks) * (unserved.get(taken)!.older + 1))
      for (const each of ended) {
        assert.equal(each.remaining + each.output, 0)
        assert.ok(unserved.delete(each))
      }
      // The longest chunk is paid back by two more; those behind pay it back out of what is lent to them.
      decodesInARow = ran.kind === 'decode' && waits > 0 && free > 0 ? decodesInARow + 1 : 0
      assert.ok(decodesInARow <= (waitsInFront ? 3 : 320), 'a slot stays empty')
      if (ran.kind === 'idle') { idle++; assert.equal(waits, 0) }
    }
    assert.equal(unserved.size, 0)
    assert.ok(arrivals > 2000 && idle > 1000, `${arrivals} arrivals, ${idle} idle steps`)
    assert.equal(state.shares.counters.size, 0)
  })
})
