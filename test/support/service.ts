/** `permafrost start` and the other commands as a user runs them: real processes in a home folder of their own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { identityOf, isAlive } from '../../src/supervisor/process-identity.js'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js')

export interface StartedService {
  readonly url: string
  readonly pid: number
  /** All it has printed until now, one line each. */
  readonly lines: readonly string[]
  /** The next line that matches, from now on. */
  line (pattern: RegExp): Promise<string>
  /** SIGTERM, then the exit code. */
  stop (): Promise<number | null>
  /** SIGKILL; resolves when the supervisor is gone. */
  kill9 (): Promise<void>
}

const OF_A_SERVICE = [
  'REDIS_URL', 'REDIS_PASSWORD', 'ARTIFACT_STORE', 'BASE_FOLDER', 'HEALTH_PORT', 'INFERENCE_URL', 'INFERENCE_LISTEN', 'INFERENCE_ADVERTISE', 'INFERENCE_SECRET',
  'FIRST_API_KEY', 'PERMAFROST_URL', 'PERMAFROST_API_KEY'
]

/** What a command of this home sees: no setting of the caller's own service. */
export function environment (home: string, settings: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !OF_A_SERVICE.some(setting => name === setting || name === `${setting}_FILE`))
  return { ...Object.fromEntries(inherited), PERMAFROST_HOME: home, PORT: '0', ...settings }
}

/**
 * Resolves when the service is ready.
 * @param echo also gets each line
 * @throws Error with what it printed when it ends before
 */
export async function startService (home: string, settings: Readonly<Record<string, string>> = {}, echo: (line: string) => void = () => {}): Promise<StartedService> {
  const child = spawn(process.execPath, [MAIN, 'start'], { stdio: ['ignore', 'pipe', 'pipe'], env: environment(home, settings) })
  // A test that crashes must not leave its service behind.
  const end = (): void => { child.kill('SIGTERM') }
  process.once('exit', end)
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  const lines: string[] = []
  const waiting = new Set<(line: string) => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', line => {
      lines.push(line)
      echo(line)
      for (const listener of waiting) listener(line)
    })
  }
  const line = async (pattern: RegExp): Promise<string> => await new Promise(resolve => {
    const listener = (text: string): void => {
      if (!pattern.test(text)) return
      waiting.delete(listener)
      resolve(text)
    }
    waiting.add(listener)
  })
  const ready = await Promise.race([line(/^ready in /), ended])
  if (typeof ready !== 'string') throw new Error(`the service ended with exit code ${String(ready)}\n${lines.join('\n')}`)
  return {
    url: ready.split(' at ')[1] ?? '',
    pid: child.pid!,
    lines,
    line,
    async stop () {
      signal(child, 'SIGTERM')
      const code = await ended
      process.off('exit', end)
      return code
    },
    async kill9 () {
      signal(child, 'SIGKILL')
      await new Promise<void>(resolve => child.exitCode !== null || child.signalCode !== null ? resolve() : child.once('exit', () => resolve()))
      process.off('exit', end)
    }
  }
}

function signal (child: ChildProcess, name: NodeJS.Signals): void {
  if (child.exitCode === null && child.signalCode === null) child.kill(name)
}

export interface CommandResult { readonly code: number | null, readonly stdout: string, readonly stderr: string }

export interface CommandOptions {
  readonly stdin?: string
  readonly echo?: boolean
  /** Gets what it says on stderr while it runs. */
  readonly onStderr?: (text: string) => void
}

/** One `permafrost` command to its end. */
export async function permafrost (env: NodeJS.ProcessEnv, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', 'pipe', 'pipe'], env })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    if (options.echo === true) process.stdout.write(text)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    options.onStderr?.(text)
    if (options.echo === true) process.stderr.write(text)
  })
  child.stdin.on('error', () => {}) // it did not want its input
  child.stdin.end(options.stdin ?? '')
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { code, stdout, stderr }
}

/** Ids and start times of the child processes that `start` has on record, and of its private Redis. */
export async function childrenOf (home: string): Promise<string[]> {
  const recorded = (await readFile(join(home, 'children'), 'utf8')).trim().split('\n')
  const redis = identityOf(Number(await readFile(join(home, 'redis', 'redis.pid'), 'utf8')))
  return redis === null ? recorded : [...recorded, redis]
}

/** Resolves when these have ended. Only of a child is a process told (Node has no pidfd), so this looks again and again. */
export async function allEnded (identities: readonly string[]): Promise<void> {
  while (identities.some(isAlive)) await sleep(10)
}
