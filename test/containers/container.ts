/**
 * One container: `buildah run` in a network namespace, with process identities of its own, a root that is read-only,
 * and no capability. What it writes, it writes to its volumes and to memory.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { appendFileSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Buildah } from './buildah.js'
import type { Namespace } from './network.js'
import { command, type Output } from './tools.js'

export interface ContainerPlan {
  /** As a person calls it: `api-2`. */
  readonly name: string
  /** Working container of the image, and its root; several containers may share it, since none can write to it. */
  readonly image: { readonly container: string, readonly root: string }
  readonly command: readonly string[]
  readonly user: string
  readonly environment: Readonly<Record<string, string>>
  /** Absolute paths, outside -> inside. */
  readonly mounts: ReadonlyArray<{ readonly source: string, readonly target: string, readonly readOnly: boolean }>
  readonly tmpfs: readonly string[]
  readonly readOnly: boolean
  readonly dropsAllCapabilities: boolean
  /** Null: the network of this machine. */
  readonly namespace: Namespace | null
  readonly log: string
}

/** /run is where buildah puts its own mark. The order: what is below a read-only root has to be mounted before. */
const SETTING = `
set -e
root="$1"; readonly="$2"; shift 2
mount --make-rprivate /
mount -t proc proc /proc
if [ "$readonly" = yes ]; then
  mount --bind "$root" "$root"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -o remount,bind,ro "$root"
fi
exec "$@"`

export class Container {
  readonly plan: ContainerPlan
  readonly #buildah: Buildah
  readonly #heard = new EventEmitter()
  #process: ChildProcess | null = null
  #exited: Promise<number | NodeJS.Signals> = Promise.resolve(0)
  #lines: string[] = []

  constructor (buildah: Buildah, plan: ContainerPlan) {
    this.#buildah = buildah
    this.plan = plan
    this.#heard.setMaxListeners(0)
  }

  get running (): boolean { return this.#process !== null }
  /** Exit code, or the signal that ended it; of the last run. */
  get exited (): Promise<number | NodeJS.Signals> { return this.#exited }
  /** Of the last run. */
  get lines (): readonly string[] { return this.#lines }

  start (): void {
    if (this.#process !== null) throw new Error(`${this.plan.name} runs already`)
    this.#lines = []
    const child = this.#spawn(this.plan.command)
    this.#process = child
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', line => {
        this.#lines.push(line)
        appendFileSync(this.plan.log, `${line}\n`)
        this.#heard.emit('line')
      })
    }
    this.#exited = once(child, 'close').then(([code, signal]) => {
      this.#process = null
      return (code ?? signal) as number | NodeJS.Signals
    })
  }

  /** The first line of the last run that matches, also one that was written before. @throws Error when it ends before */
  async said (pattern: RegExp): Promise<string> {
    const gone = this.#exited.then(how => { throw new Error(`${this.plan.name} ended (${how}) before it said ${pattern.source}:\n${this.#lines.slice(-20).join('\n')}`) })
    gone.catch(() => {})
    for (;;) {
      const line = this.#lines.find(line => pattern.test(line))
      if (line !== undefined) return line
      await Promise.race([once(this.#heard, 'line'), gone])
    }
  }

  /** SIGKILL to everything in it at once. */
  async kill (): Promise<void> {
    // The kernel ends the first process of the namespace with `unshare`, and all others with the first.
    this.#process?.kill('SIGKILL')
    await this.#exited
  }

  /** SIGTERM to its first process. @throws Error when it does not end in time; it is killed then */
  async stop (graceSeconds: number): Promise<number | NodeJS.Signals> {
    const first = this.#firstProcess()
    if (first === null) return await this.#exited
    process.kill(first, 'SIGTERM')
    let late = false
    const timer = setTimeout(() => {
      late = true
      this.#process?.kill('SIGKILL')
    }, graceSeconds * 1000)
    const how = await this.#exited
    clearTimeout(timer)
    if (late) throw new Error(`${this.plan.name} did not end within ${graceSeconds} s of SIGTERM`)
    return how
  }

  /** A command beside the running one: same image, network, environment. */
  async exec (args: readonly string[]): Promise<Output> {
    const [program, ...rest] = this.#commandLine(args)
    return await command(program!, rest, { env: this.#buildah.environment })
  }

  /** Process id of its first process as this machine counts; null when it does not run. */
  #firstProcess (): number | null {
    if (this.#process?.pid === undefined) return null
    const parents = new Map(readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(name => [Number(name), parentOf(name)]))
    let level = [this.#process.pid]
    while (level.length > 0) {
      const first = level.find(pid => insideOf(pid))
      if (first !== undefined) return first
      level = [...parents].filter(([, parent]) => level.includes(parent)).map(([pid]) => pid)
    }
    return null
  }

  #spawn (args: readonly string[]): ChildProcess {
    const [program, ...rest] = this.#commandLine(args)
    const child = spawn(program!, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: this.#buildah.environment })
    // A test that crashes must not leave its containers behind.
    const end = (): void => { child.kill('SIGKILL') }
    process.once('exit', end)
    child.once('close', () => process.off('exit', end))
    return child
  }

  #commandLine (args: readonly string[]): string[] {
    const { image, user, environment, mounts, tmpfs, readOnly, dropsAllCapabilities, namespace } = this.plan
    const network = namespace === null ? [] : ['ip', 'netns', 'exec', namespace.name]
    return [
      ...network, 'unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', SETTING, 'sh', image.root, readOnly ? 'yes' : 'no',
      ...this.#buildah.line([
        'run', '--isolation', 'chroot', '--user', user, ...dropsAllCapabilities ? ['--cap-drop', 'all'] : [],
        ...Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
        ...mounts.flatMap(({ source, target, readOnly: fixed }) => ['--volume', `${source}:${target}${fixed ? ':ro' : ''}`]),
        ...tmpfs.flatMap(target => ['--mount', `type=tmpfs,target=${target},tmpfs-mode=1777`]),
        image.container, '--', ...args
      ])
    ]
  }
}

function parentOf (pid: string): number {
  try {
    return Number(/\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1])
  } catch {
    return -1
  }
}

/** Whether it is the container's own program, and neither buildah nor what leads to it. */
function insideOf (pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/root`) !== '/' && !readFileSync(`/proc/${pid}/comm`, 'utf8').includes('buildah')
  } catch {
    return false
  }
}
