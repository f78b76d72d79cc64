/** Programs of the system that these tests stand on, installed where that is allowed. */
import { spawn, spawnSync } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { existsSync } from 'node:fs'

/** Program -> Debian package. */
const TOOLS: Readonly<Record<string, string>> = {
  buildah: 'buildah', debootstrap: 'debootstrap', dnsmasq: 'dnsmasq-base', ip: 'iproute2', unshare: 'util-linux', mount: 'mount', npm: 'npm'
}

/** Null when everything is there, else the one line that says why these tests can not run here. */
export function prepareTools (say: (line: string) => void): string | null {
  if (process.platform !== 'linux') return `containers need Linux, this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'a network and read-only roots for containers are made by root, and this is another user'
  const missing = Object.keys(TOOLS).filter(program => !isOnPath(program))
  if (missing.length > 0) {
    const packages = missing.map(program => TOOLS[program]!)
    if (!isOnPath('apt-get')) return `${missing.join(', ')} not found, and there is no apt-get to install ${packages.join(', ')}`
    say(`installing ${packages.join(', ')} (apt-get)`)
    const steps = [['update', '-q'], ['install', '-y', '-q', '--no-install-recommends', ...packages]]
    for (const step of steps) {
      const { status, stderr } = spawnSync('apt-get', step, { encoding: 'utf8', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
      if (status !== 0) return `apt-get ${step[0]} fails: ${stderr.trim().split('\n').at(-1) ?? ''}`
    }
  }
  const probe = spawnSync('ip', ['netns', 'add', 'permafrost-probe'], { encoding: 'utf8' })
  if (probe.status !== 0) return `no network namespaces here: ${probe.stderr.trim()}`
  spawnSync('ip', ['netns', 'del', 'permafrost-probe'])
  return null
}

function isOnPath (program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some(folder => existsSync(join(folder, program)))
}

export interface Output { readonly code: number | null, readonly stdout: string, readonly stderr: string }

/** One command to its end. */
export async function command (program: string, args: readonly string[], options: { readonly cwd?: string, readonly env?: NodeJS.ProcessEnv } = {}): Promise<Output> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: options.cwd, env: options.env ?? process.env })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { code, stdout, stderr }
}

/** Like `command`, for what has to work. @throws Error with the end of what it said */
export async function must (program: string, args: readonly string[], options: Parameters<typeof command>[2] = {}): Promise<string> {
  const { code, stdout, stderr } = await command(program, args, options)
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 6).join(' ')} ended with ${String(code)}:\n${(stdout + stderr).slice(-4000)}`)
  return stdout
}
