/** One bridge, a network namespace for each container, and names that answer with every running replica of a service. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must } from './tools.js'

/** Of a container: what it is called by the kernel, and its address on the bridge. */
export interface Namespace { readonly name: string, readonly address: string }

/** Networks of this process. */
let opened = 0

export class Network {
  readonly #folder: string
  readonly #id: string
  readonly #subnet: string
  readonly #namespaces: string[] = []
  /** Address -> service, of the containers that run. */
  readonly #names = new Map<string, string>()
  #resolver: ChildProcess | null = null
  #last = 1

  constructor (folder: string) {
    this.#folder = folder
    // Names of links have 15 characters at most.
    this.#id = `pf${process.pid.toString(36)}${(opened++).toString(36)}`
    // One of 16,384 private networks of 256 addresses each; which one does not matter as long as nobody else has it.
    this.#subnet = `100.${64 + process.pid % 64}.${Math.floor(process.pid / 64) % 256}`
  }

  async open (): Promise<void> {
    const bridge = this.#bridge
    process.once('exit', this.#remove)
    // With an address of its own, a bridge keeps it; else it takes that of each new port which is smaller.
    await must('ip', ['link', 'add', bridge, 'address', '02:00:00:00:00:01', 'type', 'bridge'])
    await must('ip', ['addr', 'add', `${this.#subnet}.1/24`, 'dev', bridge])
    await must('ip', ['link', 'set', bridge, 'up'])
    this.#writeNames()
    const resolver = spawn('dnsmasq', [
      '--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--domain-needed', `--addn-hosts=${this.#hosts}`, '--bind-interfaces', '--except-interface=lo',
      `--interface=${bridge}`, '--local-ttl=0', '--user=root', '--pid-file='
    ], { stdio: 'ignore' })
    this.#resolver = resolver
  }

  async add (container: string): Promise<Namespace> {
    const number = ++this.#last
    const name = `${this.#id}-${container}`
    const [outside, inside] = [`${this.#id}o${number}`, `${this.#id}i${number}`]
    // What `ip netns exec` lays over /etc for the processes of this namespace.
    mkdirSync(join('/etc/netns', name), { recursive: true })
    writeFileSync(join('/etc/netns', name, 'resolv.conf'), `nameserver ${this.#subnet}.1\n`)
    this.#namespaces.push(name)
    const address = `${this.#subnet}.${number}`
    await must('ip', ['netns', 'add', name])
    await must('ip', ['link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', name])
    await must('ip', ['link', 'set', outside, 'master', this.#bridge, 'up'])
    await must('ip', ['-n', name, 'addr', 'add', `${address}/24`, 'dev', inside])
    await must('ip', ['-n', name, 'link', 'set', inside, 'up'])
    await must('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
    return { name, address }
  }

  /** From now on `service` means this address too. */
  join (service: string, address: string): void {
    this.#names.set(address, service)
    this.#writeNames()
  }

  leave (address: string): void {
    this.#names.delete(address)
    this.#writeNames()
  }

  close (): void {
    process.off('exit', this.#remove)
    this.#remove()
  }

  readonly #remove = (): void => {
    this.#resolver?.kill('SIGKILL')
    for (const name of this.#namespaces) {
      spawnSync('ip', ['netns', 'del', name])
      rmSync(join('/etc/netns', name), { recursive: true, force: true })
    }
    spawnSync('ip', ['link', 'del', this.#bridge])
  }

  get #bridge (): string { return `${this.#id}br` }
  get #hosts (): string { return join(this.#folder, `hosts-${this.#id}`) }

  #writeNames (): void {
    writeFileSync(this.#hosts, [...this.#names].map(([address, service]) => `${address} ${service}\n`).join(''))
    this.#resolver?.kill('SIGHUP')
  }
}
