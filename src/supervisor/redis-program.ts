import { spawnSync } from 'node:child_process'

const PROGRAMS = ['redis-server', 'valkey-server'] as const

interface PackageManager { readonly program: string, readonly install: readonly string[], readonly asRoot: boolean }

/** In order of preference; the first one on PATH is the system's. */
const PACKAGE_MANAGERS: readonly PackageManager[] = [
  // --no-install-recommends keeps it to the server; the service that Debian would start is stopped from starting below.
  { program: 'apt-get', install: ['apt-get', 'install', '-y', '--no-install-recommends', 'redis-server'], asRoot: true },
  { program: 'apk', install: ['apk', 'add', 'redis'], asRoot: true },
  { program: 'dnf', install: ['dnf', 'install', '-y', 'redis'], asRoot: true },
  { program: 'brew', install: ['brew', 'install', 'redis'], asRoot: false }
]

/** What this file asks of the machine; a test puts another one in. */
export interface Machine {
  onPath (program: string): boolean
  isRoot (): boolean
  /** True when it ended with 0; its output goes to the terminal unless `quiet`. */
  run (command: readonly string[], options?: { quiet?: boolean }): boolean
}

export const thisMachine: Machine = {
  onPath: program => spawnSync('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore' }).status === 0,
  isRoot: () => process.getuid?.() === 0,
  run: ([program = '', ...args], { quiet = false } = {}) => spawnSync(program, args, {
    stdio: quiet ? 'ignore' : ['ignore', 2, 2],
    // RUNLEVEL=1 makes Debian's invoke-rc.d leave the packaged service alone: we run our own, and 6379 stays free.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  }).status === 0
}

/**
 * The name of a Redis-compatible server on PATH, installed with the system's package manager when there is none and
 * this user may do so without a password.
 * @throws Error whose message is the one line to type.
 */
export function findOrInstallRedis (say: (line: string) => void, machine: Machine = thisMachine): string {
  const found = PROGRAMS.find(name => machine.onPath(name))
  if (found !== undefined) return found

  const manager = PACKAGE_MANAGERS.find(({ program }) => machine.onPath(program))
  if (manager === undefined) throw new Error('no redis-server or valkey-server on PATH; install one, or set REDIS_URL to a running server')
  const needsSudo = manager.asRoot && !machine.isRoot()
  const prefix = needsSudo ? ['sudo'] : []
  const byHand = new Error(`no redis-server on PATH; type: ${[...prefix, ...manager.install].join(' ')}`)
  if (needsSudo && !(machine.onPath('sudo') && machine.run(['sudo', '-n', 'true'], { quiet: true }))) throw byHand

  const withoutQuestions = needsSudo ? ['sudo', '-n', 'env', 'DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1'] : []
  say(`no redis-server on PATH; installing it: ${[...prefix, ...manager.install].join(' ')}`)
  let installed = machine.run([...withoutQuestions, ...manager.install])
  if (!installed && manager.program === 'apt-get') {
    // A fresh image has no package lists.
    machine.run([...withoutQuestions, 'apt-get', 'update'])
    installed = machine.run([...withoutQuestions, ...manager.install])
  }
  const program = PROGRAMS.find(name => machine.onPath(name))
  if (!installed || program === undefined) throw byHand
  return program
}
