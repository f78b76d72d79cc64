import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { jobDisplay } from '../../src/cli/job-display.js'
import type { JobEvent } from '../../src/training/job.js'

const step = (number: number): JobEvent => ({ type: 'step', step: number, steps: 100, loss: 1.23456, learning_rate: 0.005, grad_norm: 1, tokens_per_second: 512.4, eta_seconds: 75 })

suite('jobDisplay()', () => {
  test('draws a bar with loss, speed and time left on a terminal, and other events above it', () => {
    let written = ''
    const display = jobDisplay({ isTTY: true, write: text => { written += text } })
    display.show(step(50))
    display.show({ type: 'evaluation', step: 50, metrics: { accuracy: 0.9, rows: 10 }, best: true })
    display.show(step(51))
    display.end()
    assert.equal(written,
      '\r\u001b[K[############............] step 50 of 100, loss 1.235, 512 tokens/s, 1 min 15 s left' +
      '\r\u001b[Kevaluation at step 50: accuracy 0.9000, rows 10 (best)\n' +
      '\r\u001b[K[############............] step 51 of 100, loss 1.235, 512 tokens/s, 1 min 15 s left\n')
  })

  test('writes plain lines at most every five seconds, and the last step always', () => {
    let time = 0
    const lines: string[] = []
    const display = jobDisplay({ write: text => lines.push(text) }, () => time)
    for (let number = 1; number <= 100; number++) {
      time += 100
      display.show(step(number))
    }
    assert.deepEqual(lines.map(line => line.split(' ')[1]), ['1', '51', '100'])
  })
})
