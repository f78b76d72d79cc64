/** A training job on the terminal: a bar that stays in its line, or plain lines at most every five seconds. */
import type { Output } from '../supervisor/progress.js'
import type { JobEvent } from '../training/job.js'

const BAR_WIDTH = 24
const PLAIN_LINE_MS = 5000

export interface JobDisplay {
  show (event: JobEvent): void
  end (): void
}

export function jobDisplay (out: Output, now: () => number = () => performance.now()): JobDisplay {
  let barShown = false
  let lastLine = -Infinity

  function line (text: string): void {
    out.write(`${barShown ? '\r\u001b[K' : ''}${text}\n`)
    barShown = false
  }
  function step (event: Extract<JobEvent, { type: 'step' }>): void {
    const status = `step ${event.step} of ${event.steps}, loss ${event.loss.toFixed(3)}, ${Math.round(event.tokens_per_second)} tokens/s, ${duration(event.eta_seconds)} left`
    if (out.isTTY === true) {
      const filled = Math.round(Math.min(1, event.step / event.steps) * BAR_WIDTH)
      out.write(`\r\u001b[K[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${status}`)
      barShown = true
    } else if (now() - lastLine >= PLAIN_LINE_MS || event.step === event.steps) {
      lastLine = now()
      line(status)
    }
  }
  return {
    show (event) {
      switch (event.type) {
        case 'step': step(event); break
        case 'state': line(event.reason === undefined ? event.state : `${event.state}: ${event.reason}`); break
        case 'evaluation': line(`evaluation at step ${event.step}: ${metricsText(event.metrics)}${event.best ? ' (best)' : ''}`); break
        case 'published': line(`published as version ${event.version}${event.alias === null ? '' : `, ${event.alias} points to it`}`); break
        case 'error': line(`${event.code}: ${event.message}`); break
        case 'checkpoint': break
      }
    },
    end () {
      if (barShown) out.write('\n')
      barShown = false
    }
  }
}

export function metricsText (metrics: Readonly<Record<string, number>>): string {
  return Object.entries(metrics).map(([name, value]) => `${name} ${Number.isInteger(value) ? value : value.toFixed(4)}`).join(', ')
}

function duration (seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}
