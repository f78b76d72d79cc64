/** One role of the service as a container runs it: `permafrost api`, `inference` or `worker`, a process with a health port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { environment } from './service.js'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js')

export type RoleName = 'api' | 'inference' | 'worker'
export type LogLine = Readonly<Record<string, unknown>>

export interface RoleProcess {
  readonly child: ChildProcess
  /** All that was logged until now. */
  readonly lines: readonly LogLine[]
  readonly stderr: () => string
  /** The first line with this message, past or to come. @throws Error when the process ends without it */
  said (message: string): Promise<LogLine>
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
  /** Of the health port. */
  ask (path: string): Promise<{ readonly status: number, readonly text: string }>
  /** SIGTERM, then how it ended. */
  stop (): Promise<number | NodeJS.Signals>
}

export function startRole (role: RoleName, home: string, settings: Readonly<Record<string, string>> = {}): RoleProcess {
  const child = spawn(process.execPath, [MAIN, role], { stdio: ['ignore', 'pipe', 'pipe'], env: environment(home, { HEALTH_PORT: '0', ...settings }) })
  // A test that crashes must not leave it behind.
  const end = (): void => { child.kill('SIGKILL') }
  process.once('exit', end)
  const lines: LogLine[] = []
  const heard = new EventEmitter()
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(JSON.parse(line) as LogLine)
    heard.emit('line')
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const exited = once(child, 'close').then(([code, signal]: Array<number | NodeJS.Signals>) => {
    process.off('exit', end)
    return code ?? signal!
  })
  const gone = exited.then(how => { throw new Error(`${role} ended (${how}): ${stderr}\n${lines.map(line => JSON.stringify(line)).join('\n')}`) })
  gone.catch(() => {})

  const said = async (message: string): Promise<LogLine> => {
    for (;;) {
      const line = lines.find(({ msg }) => msg === message)
      if (line !== undefined) return line
      await Promise.race([once(heard, 'line'), gone])
    }
  }
  return {
    child,
    lines,
    said,
    exited,
    stderr: () => stderr,
    async ask (path) {
      const response = await fetch(`http://127.0.0.1:${String((await said('health port listens'))['port'])}${path}`)
      return { status: response.status, text: await response.text() }
    },
    async stop () {
      child.kill('SIGTERM')
      return await exited
    }
  }
}
