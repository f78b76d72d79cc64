/** The services of a compose file as running containers, as `docker compose up` would have them. */
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Buildah, ImageConfig } from './buildah.js'
import type { ComposeFile, ComposeService } from './compose-file.js'
import { Container } from './container.js'
import { IMAGE, STAND_IN } from './images.js'
import type { Network } from './network.js'
import { must, type Output } from './tools.js'

const HEALTH_INTERVAL_MS = 500
const RESTART_MS = 100
const LASTED_MS = 10_000
const HEALTHY_MS = 180_000

interface LoadedImage { readonly container: string, readonly root: string, readonly config: ImageConfig }

export class Project {
  readonly #buildah: Buildah
  readonly #file: ComposeFile
  readonly #network: Network
  /** Volumes and logs. */
  readonly #folder: string
  readonly #images = new Map<string, LoadedImage>()
  readonly #containers = new Map<string, Container[]>()
  #stopping = false

  constructor (buildah: Buildah, file: ComposeFile, network: Network, folder: string) {
    this.#buildah = buildah
    this.#file = file
    this.#network = network
    this.#folder = folder
    mkdirSync(join(folder, 'logs'), { recursive: true })
  }

  /** Where a volume lies on this machine. */
  volume (name: string): string { return join(this.#folder, 'volumes', name) }

  /** Put a copy of a folder of this machine into a volume, before `up`; it belongs to whom the volume belongs. */
  async seed (volume: string, source: string, path: string): Promise<void> {
    const service = [...this.#file.services.values()].find(({ mounts }) => mounts.some(mount => mount.source === volume))
    if (service === undefined) throw new Error(`no service mounts ${volume}`)
    const { target } = service.mounts.find(mount => mount.source === volume)!
    const root = this.#volumeFor(volume, target, await this.#image(service))
    cpSync(source, join(root, path), { recursive: true })
    const { uid, gid } = statSync(root)
    await must('chown', ['-R', `${uid}:${gid}`, root])
  }

  containers (service: string): readonly Container[] { return this.#containers.get(service) ?? [] }

  /** Address of the first container of a service, as seen from this machine. */
  address (service: string): string {
    const namespace = this.containers(service)[0]?.plan.namespace
    if (namespace === undefined || namespace === null) throw new Error(`${service} has no address`)
    return namespace.address
  }

  /** Start everything in the order that `depends_on` asks for. @param scale replicas, 1 when absent */
  async up (scale: Readonly<Record<string, number>>): Promise<void> {
    const started = new Map<string, Promise<void>>()
    const begin = (name: string): Promise<void> => {
      const known = started.get(name)
      if (known !== undefined) return known
      const service = this.#service(name)
      const starting = Promise.all(Object.entries(service.dependsOn).map(async ([other, condition]) => {
        await begin(other)
        if (condition === 'service_completed_successfully') await this.#completed(other)
        if (condition === 'service_healthy') await this.healthy(other)
      })).then(async () => {
        const containers = await Promise.all(Array.from({ length: scale[name] ?? 1 }, async (_, i) => await this.#create(service, i + 1)))
        this.#containers.set(name, containers)
        for (const container of containers) this.#run(service, container)
      })
      started.set(name, starting)
      return starting
    }
    await Promise.all([...this.#file.services.keys()].map(begin))
    for (const name of this.#file.services.keys()) if (this.#service(name).healthcheck !== 'none') await this.healthy(name)
  }

  /** `docker compose run --rm SERVICE ARGS`: the service's container with another command. */
  async runOnce (name: string, args: readonly string[]): Promise<Output> {
    const image = await this.#image(this.#service(name))
    return await this.containers(name)[0]!.exec([...image.config.entrypoint, ...args])
  }

  /** Resolves when every container of the service runs and its health check says so. @throws Error after three minutes */
  async healthy (name: string, containers: readonly Container[] = this.containers(name)): Promise<void> {
    const service = this.#service(name)
    const test = service.healthcheck === 'image' ? (await this.#image(service)).config.healthcheck : service.healthcheck
    if (test === 'none' || test.length === 0) return
    const [form, ...rest] = test
    const args = form === 'CMD-SHELL' ? ['sh', '-c', ...rest] : rest
    for (const container of containers) {
      const deadline = performance.now() + HEALTHY_MS
      for (;;) {
        // The engine's own way: a health check is asked again and again.
        const { code, stdout, stderr } = await container.exec(args)
        if (code === 0 && container.running) break
        if (performance.now() > deadline) throw new Error(`${container.plan.name} is not healthy: ${stdout}${stderr}\n${readFileSync(container.plan.log, 'utf8').slice(-4000)}`)
        await sleep(HEALTH_INTERVAL_MS)
      }
    }
  }

  /** SIGKILL, then back as the restart policy has it, and healthy. */
  async killAndComeBack (name: string, container: Container): Promise<void> {
    await container.kill()
    await this.healthy(name, [container])
  }

  /** SIGTERM, then a new one in its place. @returns how the old one ended */
  async replace (name: string, container: Container): Promise<number | NodeJS.Signals> {
    const service = this.#service(name)
    this.#leaving.add(container)
    const how = await container.stop(service.graceSeconds)
    this.#leaving.delete(container)
    this.#run(service, container)
    await this.healthy(name, [container])
    return how
  }

  /** SIGTERM to all, those first that need the others. */
  async down (): Promise<void> {
    this.#stopping = true
    const order = [...this.#file.services.keys()].sort((a, b) => this.#depth(b) - this.#depth(a))
    for (const name of order) {
      await Promise.all(this.containers(name).map(async container => await container.stop(this.#service(name).graceSeconds)))
    }
  }

  /** Whatever still runs. */
  async kill (): Promise<void> {
    this.#stopping = true
    for (const containers of this.#containers.values()) for (const container of containers) await container.kill()
  }

  readonly #leaving = new Set<Container>()

  #run (service: ComposeService, container: Container, lastWait = RESTART_MS): void {
    const { namespace } = container.plan
    if (namespace !== null) this.#network.join(service.name, namespace.address)
    const begun = performance.now()
    container.start()
    void container.exited.then(async () => {
      if (namespace !== null) this.#network.leave(namespace.address)
      if (!service.restarts || this.#stopping || this.#leaving.has(container)) return
      // As Docker does it: twice as long after each start that did not last.
      const wait = performance.now() - begun > LASTED_MS ? RESTART_MS : lastWait * 2
      await sleep(wait)
      if (!this.#stopping) this.#run(service, container, wait)
    })
  }

  async #completed (name: string): Promise<void> {
    for (const container of this.containers(name)) {
      const how = await container.exited
      if (how !== 0) throw new Error(`${container.plan.name} ended with ${how}:\n${container.lines.slice(-30).join('\n')}`)
    }
  }

  async #create (service: ComposeService, number: number): Promise<Container> {
    const image = await this.#image(service)
    const name = `${service.name}-${number}`
    // A job that runs once and that nobody calls needs the way out to the internet, which only this machine has.
    const isJob = !service.restarts
    const namespace = isJob ? null : await this.#network.add(name)
    return new Container(this.#buildah, {
      name,
      image,
      command: [...image.config.entrypoint, ...service.command],
      user: service.user ?? image.config.user,
      environment: { ...service.environment, TINI_SUBREAPER: '1' },
      mounts: service.mounts.map(({ source, target, kind }) => kind === 'file'
        ? { source, target, readOnly: true }
        : { source: this.#volumeFor(source, target, image), target, readOnly: false }),
      tmpfs: service.tmpfs,
      readOnly: service.readOnly,
      dropsAllCapabilities: service.dropsAllCapabilities,
      namespace,
      log: join(this.#folder, 'logs', `${name}.log`)
    })
  }

  /** A new volume belongs to whom the folder in the image belongs. */
  #volumeFor (name: string, target: string, { root }: LoadedImage): string {
    const path = this.volume(name)
    if (!existsSync(path)) {
      mkdirSync(path, { recursive: true })
      const { uid, gid } = statSync(join(root, target))
      chownSync(path, uid, gid)
    }
    return path
  }

  async #image (service: ComposeService): Promise<LoadedImage> {
    const own = service.image.startsWith('permafrost:')
    const tag = own ? IMAGE : STAND_IN
    const key = own ? tag : service.name
    const known = this.#images.get(key)
    if (known !== undefined) return known
    const config = own ? await this.#buildah.inspect(tag) : { entrypoint: [], user: '', environment: [], labels: {}, volumes: [], healthcheck: [] }
    const image: LoadedImage = { ...await this.#buildah.from(tag), config }
    // As an engine does it: the place of a mount is made before the root is closed.
    for (const { target, kind } of service.mounts) {
      if (kind !== 'file' || target.startsWith('/run/')) continue
      mkdirSync(join(image.root, dirname(target)), { recursive: true })
      writeFileSync(join(image.root, target), '')
    }
    this.#images.set(key, image)
    return image
  }

  #depth (name: string): number {
    return 1 + Math.max(0, ...Object.keys(this.#service(name).dependsOn).map(other => this.#depth(other)))
  }

  #service (name: string): ComposeService {
    const service = this.#file.services.get(name)
    if (service === undefined) throw new Error(`the compose file has no service ${name}`)
    return service
  }
}
