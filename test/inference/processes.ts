/** Inference processes as they run: real processes, their logs, their signals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface Started {
  readonly child: ChildProcess
  /** Resolves with the fields of the line that says so (for the first time, or for the given one), also of one that was written before. */
  said (message: string, times?: number): Promise<Record<string, unknown>>
  readonly exited: Promise<number | NodeJS.Signals>
  readonly stderr: () => string
}

function start (environment: NodeJS.ProcessEnv, nodeOptions: string[] = []): Started {
  const child = spawn(process.execPath, [...nodeOptions, join(import.meta.dirname, 'inference-process.js')], { env: { PATH: process.env['PATH'], ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: Array<Record<string, unknown>> = []
  const heard = new EventEmitter()
  createInterface({ input: child.stdout! }).on('line', line => {
    lines.push(JSON.parse(line) as Record<string, unknown>)
    heard.emit('line')
  })
  let stderr = ''
  child.stderr!.on('data', chunk => { stderr += String(chunk) })
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  const gone = exited.then(how => { throw new Error(`the process ended (${how}): ${stderr}`) })
  gone.catch(() => {})
  return {
    child, exited, stderr: () => stderr,
    async said (message, times = 1) {
      for (;;) {
        const line = lines.filter(({ msg }) => msg === message)[times - 1]
        if (line !== undefined) return line
        await Promise.race([once(heard, 'line'), gone])
      }
    }
  }
}

export class InferenceProcesses {
  readonly #children: ChildProcess[] = []

  start (environment: NodeJS.ProcessEnv, nodeOptions: string[] = []): Started {
    const started = start(environment, nodeOptions)
    this.#children.push(started.child)
    return started
  }

  /** Kill what is left. */
  async end (): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
}
