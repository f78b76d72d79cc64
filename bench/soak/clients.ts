/** Clients that ask, check what they get, and sometimes hang up. */
import { seededNumbers } from '../../test/support/numbers.js'
import type { BenchService } from '../service.js'
import { type Answer, ask, askForStream } from './ask.js'
import type { AskedTask, ChangingTasks } from './tasks.js'

/** Shares of the requests. */
const HANG_UPS = 0.15
const STREAMS = 0.2
/** A client that hangs up does so within this time, or this many pieces of a stream. */
const PATIENCE_MS = 500
const PATIENCE_PIECES = 10
const KEPT_FAULTS = 20
/** So many errors are no accident, and each next one would come at once. */
const MAX_ERRORS = 200

export interface Tally { answers: number, streams: number, hangUps: number, errors: number, stale: number, wrong: number, readonly faults: string[] }

export function newTally (): Tally {
  return { answers: 0, streams: 0, hangUps: 0, errors: 0, stale: 0, wrong: 0, faults: [] }
}

/** `count` clients until `stop` fires, or until nothing but errors comes. */
export async function runClients (service: BenchService, changing: ChangingTasks, count: number, tally: Tally, stop: AbortSignal): Promise<void> {
  await Promise.all(Array.from({ length: count }, async (_, index) => {
    const random = seededNumbers(index)
    const draw = (): number => (random() + 1) / 2
    while (!stop.aborted && tally.errors < MAX_ERRORS) await one(service, changing, draw, tally, stop)
  }))
}

async function one (service: BenchService, changing: ChangingTasks, draw: () => number, tally: Tally, stop: AbortSignal): Promise<void> {
  const task = pick(changing.tasks, draw)
  const body = pick(changing.bodies(task), draw)
  const hangsUp = draw() < HANG_UPS
  const streams = task.kind === 'generation' && draw() < STREAMS / generationShare(changing.tasks)
  const asked = performance.now()
  try {
    if (hangsUp) {
      const answer = streams ? await askForStream(service, task.name, body, 1 + Math.floor(PATIENCE_PIECES * draw())) : await impatient(service, task, body, PATIENCE_MS * draw())
      if (answer === null) tally.hangUps++
      else check(answer)
      return
    }
    const answer = streams ? await askForStream(service, task.name, body) : await ask(service, task.name, body)
    if (answer !== null) check(answer)
  } catch (error) {
    // What ends together with the run is no fault.
    if (stop.aborted) return
    tally.errors++
    note(String(error))
  }

  function check (answer: Answer): void {
    const fault = changing.fault(task, body, answer, asked, performance.now())
    tally.answers++
    if (streams) tally.streams++
    if (fault === null) return
    tally[fault]++
    note(`${fault}: ${task.name}, ${JSON.stringify(body)}, by ${answer.digest}: ${answer.said}`)
  }

  function note (fault: string): void {
    if (tally.faults.length < KEPT_FAULTS) tally.faults.push(fault)
  }
}

/** Null: it hung up. */
async function impatient (service: BenchService, task: AskedTask, body: Parameters<typeof ask>[2], patienceMs: number): Promise<Answer | null> {
  const signal = AbortSignal.timeout(Math.ceil(patienceMs))
  try {
    return await ask(service, task.name, body, signal)
  } catch (error) {
    if (signal.aborted) return null
    throw error
  }
}

function generationShare (tasks: readonly AskedTask[]): number {
  return tasks.filter(({ kind }) => kind === 'generation').length / tasks.length
}

function pick<T> (items: readonly T[], draw: () => number): T {
  return items[Math.floor(draw() * items.length)]!
}
