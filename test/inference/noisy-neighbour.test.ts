/** What others notice of one tenant that asks for twenty times its share: in simulated time, against first come, first served. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { admit } from '../../src/inference/admission.js'
import { enqueue, type Step } from '../../src/inference/scheduler.js'
import { seededNumbers } from '../support/numbers.js'
import { below, type Item, item, newState, runStep } from './schedule-driver.js'

const SLOTS = 16
const MAX_WAITING = 256
const SECONDS = 300

interface Request { readonly at: number, readonly tenant: string, readonly input: number, readonly output: number }

/** Milliseconds from arrival to the end by tenant; null: refused. */
type Outcome = ReadonlyMap<string, ReadonlyArray<number | null>>

/** About what the default base takes on two cores. */
function millisecondsOf (step: Step<Item, Item>): number {
  switch (step.kind) {
    case 'idle': return 0
    case 'decode': return 4.6 + 0.93 * step.rows + 3 * step.exchanges.length
    case 'leave': case 'return': return 1.5
    default: return 3 + 0.3 * step.tokens
  }
}

/** @param perSecond requests of each tenant */
function traffic (perSecond: Readonly<Record<string, number>>): Request[] {
  return Object.entries(perSecond).flatMap(([tenant, rate], index) => {
    const numbers = seededNumbers(index)
    const random = below(numbers)
    const requests: Request[] = []
    for (let at = 0; at < SECONDS * 1000;) {
      at += -Math.log((numbers() + 1) / 2 + 1e-9) / rate * 1000
      const long = random(10) === 0
      requests.push({ at, tenant, input: long ? 300 + random(500) : 20 + random(100), output: random(3) === 0 ? 0 : 10 + random(50) })
    }
    return requests
  }).sort((a, b) => a.at - b.at)
}

/** @param known what the scheduler is told of a tenant; all the same name: first come, first served */
function simulate (requests: readonly Request[], known: (tenant: string) => string): Outcome {
  const state = newState(SLOTS, MAX_WAITING)
  const outcome = new Map<string, Array<number | null>>()
  const running = new Map<Item, Request>()
  let now = 0
  for (let next = 0; next < requests.length || running.size > 0;) {
    for (; next < requests.length && requests[next]!.at <= now; next++) {
      const request = requests[next]!
      const tenant = known(request.tenant)
      try {
        admit(state, next, tenant)
      } catch {
        outcome.set(request.tenant, [...outcome.get(request.tenant) ?? [], null])
        continue
      }
      state.loading.delete(next)
      const fresh = item(next, request.input, { tenant, output: request.output })
      running.set(fresh, request)
      enqueue(state, state.waiting, fresh)
    }
    const { step, ended } = runStep(state)
    now = step.kind === 'idle' ? requests[next]!.at : now + millisecondsOf(step)
    for (const each of ended) {
      const { tenant, at } = running.get(each)!
      running.delete(each)
      outcome.set(tenant, [...outcome.get(tenant) ?? [], now - at])
    }
  }
  return outcome
}

interface Summary { readonly p50: number, readonly p95: number, readonly refused: number, readonly served: number }

function summary (outcome: Outcome, ...tenants: string[]): Summary {
  const all = tenants.flatMap(tenant => outcome.get(tenant)!)
  const times = all.filter(ms => ms !== null).sort((a, b) => a - b)
  const at = (share: number): number => Math.round(times[Math.floor(share * (times.length - 1))]!)
  return { p50: at(0.5), p95: at(0.95), refused: all.length - times.length, served: times.length }
}

suite('noisy neighbour, simulated', () => {
  test('the others stay near what they had without it, and far from what a common queue would give them', t => {
    // With the noisy one's share 70 % of what the service can do.
    const quiet = { a: 1.7, b: 1.7, c: 1.7, d: 1.7, e: 1.7 }
    const others = Object.keys(quiet)
    const without = summary(simulate(traffic(quiet), tenant => tenant), ...others)
    const both = traffic({ ...quiet, noisy: 20 * quiet.a })
    const fair = simulate(both, tenant => tenant)
    const fifo = simulate(both, () => 'all')
    const [withNoise, common] = [summary(fair, ...others), summary(fifo, ...others)]
    const [noisy, noisyCommon] = [summary(fair, 'noisy'), summary(fifo, 'noisy')]
    for (const [name, { p50, p95, refused, served }] of Object.entries({ 'others without the noisy tenant': without, 'others, fair': withNoise, 'others, first come first served': common, 'noisy, fair': noisy, 'noisy, first come first served': noisyCommon })) {
      t.diagnostic(`${name}: p50 ${p50} ms, p95 ${p95} ms, ${refused} of ${refused + served} refused`)
    }
    assert.ok(noisy.refused > 0 && common.refused > 0, 'not saturated')
    assert.equal(withNoise.refused, 0)
    assert.ok(withNoise.p95 < common.p95 / 10)
    assert.ok(withNoise.p95 < 1.5 * without.p95)
    // What the others' small steps cost: rows of the noisy one would fill them.
    assert.ok(noisy.served + withNoise.served > 0.75 * (noisyCommon.served + common.served), 'throughput lost')
  })
})
