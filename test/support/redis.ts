/**
 * A real Redis server for one test file: its own port, its own folder, append-only file on, stopped by its process id.
 * Never the server that happens to listen on 6379.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export interface RedisServer {
  readonly url: string
  /** Stop in order and remove the folder; safe to call twice. */
  stop (): Promise<void>
  /** SIGKILL; resolves when the process is gone. The data stays for `restart`. */
  kill9 (): Promise<void>
  /** Start again on the same port with the same data, ended or not; resolves when that is loaded. */
  restart (): Promise<void>
}

/** @throws Error when neither `redis-server` nor `valkey-server` is on PATH, or the server ends at once. */
export async function startRedis (options: { appendfsync?: 'always' | 'everysec', extraArguments?: readonly string[] } = {}): Promise<RedisServer> {
  const program = ['redis-server', 'valkey-server'].find(name => spawnSync(name, ['--version']).status === 0)
  if (program === undefined) throw new Error('these tests need redis-server or valkey-server on PATH')
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-redis-'))
  const port = await freePort()
  let child: ChildProcess | null = null
  let guard: ChildProcess | null = null

  async function start (): Promise<void> {
    const started = spawn(program as string, [
      '--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--daemonize', 'no', '--save', '',
      '--appendonly', 'yes', '--appendfsync', options.appendfsync ?? 'everysec', '--maxmemory-policy', 'noeviction',
      ...options.extraArguments ?? []
    ], { stdio: ['ignore', 'pipe', 'inherit'] })
    started.unref()
    child = started
    guard = guardAgainstOrphans(started, folder)
    await readyToAccept(started)
  }

  async function end (signal: NodeJS.Signals): Promise<void> {
    const ending = child
    child = null
    guard?.kill('SIGKILL')
    guard = null
    if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return
    ending.ref()
    const gone = new Promise(resolve => ending.once('exit', resolve))
    ending.kill(signal)
    await gone
  }

  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop () {
      await end('SIGTERM')
      await rm(folder, { recursive: true, force: true })
    },
    kill9: async () => await end('SIGKILL'),
    async restart () {
      await end('SIGTERM')
      await start()
    }
  }
}

/**
 * A test process that crashes or is killed must not leave its server behind, and a killed one runs no handler of its
 * own: this shell reads a pipe that nobody writes to, and the end of the test process is the end of that pipe.
 */
function guardAgainstOrphans (server: ChildProcess, folder: string): ChildProcess {
  const guard = spawn('sh', ['-c', 'read -r _; kill -9 "$0"; rm -rf "$1"', String(server.pid), folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  guard.unref()
  unreferenced(guard.stdin)
  return guard
}

async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('internal: a TCP server has a port')
  return address.port
}

/** Redis says so, in other words for TCP than for a socket, once it has read its append-only file; before, it answers -LOADING. */
export async function readyToAccept (server: ChildProcessByStdio<null, Readable, null>): Promise<void> {
  const said: string[] = []
  for await (const line of createInterface({ input: server.stdout })) {
    said.push(line)
    if (!/ready to accept connections/i.test(line)) continue
    server.stdout.resume()
    unreferenced(server.stdout)
    return
  }
  throw new Error(`the Redis server ended at once\n${said.join('\n')}`)
}

/** A pipe to a child keeps the test process from ending, as the child itself does. */
function unreferenced (pipe: unknown): void {
  if (pipe instanceof Socket) pipe.unref()
}
