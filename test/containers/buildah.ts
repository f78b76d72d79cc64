/** Images without a container engine: buildah with a storage of its own, which is removed with its folder. */
import { join } from 'node:path'
import { command, must, type Output } from './tools.js'

export interface ImageConfig {
  readonly entrypoint: readonly string[]
  readonly user: string
  readonly environment: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly volumes: readonly string[]
  readonly healthcheck: readonly string[]
}

interface Inspected {
  readonly Docker: {
    readonly config: {
      readonly Entrypoint?: readonly string[]
      readonly User?: string
      readonly Env?: readonly string[]
      readonly Labels?: Readonly<Record<string, string>>
      readonly Volumes?: Readonly<Record<string, unknown>>
      readonly Healthcheck?: { readonly Test?: readonly string[] }
    }
  }
}

export class Buildah {
  readonly folder: string

  /** @param folder for storage and temporary files */
  constructor (folder: string) {
    this.folder = folder
  }

  /** The command line of a call, for what runs it somewhere else. */
  line (args: readonly string[]): string[] {
    return ['buildah', '--storage-driver', 'vfs', '--root', join(this.folder, 'storage'), '--runroot', join(this.folder, 'run'), ...args]
  }

  /** @param file the Dockerfile */
  async build (tag: string, file: string, context: string, buildArguments: Readonly<Record<string, string>>): Promise<void> {
    const args = Object.entries(buildArguments).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`])
    // Docker's format: the OCI's has no health check.
    await this.#must(['build', '--isolation', 'chroot', '--format', 'docker', '--tag', tag, ...args, '--file', file, context])
  }

  async inspect (tag: string): Promise<ImageConfig> {
    const { Docker: { config } } = JSON.parse(await this.#must(['inspect', '--type', 'image', tag])) as Inspected
    return {
      entrypoint: config.Entrypoint ?? [],
      user: config.User ?? '',
      environment: config.Env ?? [],
      labels: config.Labels ?? {},
      volumes: Object.keys(config.Volumes ?? {}),
      healthcheck: config.Healthcheck?.Test ?? []
    }
  }

  /** A working container and the folder of its root; open files as an engine allows them, not buildah's 1,024. */
  async from (tag: string): Promise<{ readonly container: string, readonly root: string }> {
    const container = (await this.#must(['from', '--pull-never', '--ulimit', 'nofile=8192:8192', tag])).trim()
    // buildah would lay a volume of its own over the one that is given, or below it, as it happens.
    const { volumes } = await this.inspect(tag)
    if (volumes.length > 0) await this.#must(['config', ...volumes.flatMap(volume => ['--volume', `${volume}-`]), container])
    return { container, root: (await this.#must(['mount', container])).trim() }
  }

  async run (container: string, args: readonly string[]): Promise<Output> {
    const [program, ...rest] = this.line(['run', '--isolation', 'chroot', container, '--', ...args])
    return await command(program!, rest, { env: this.environment })
  }

  get environment (): NodeJS.ProcessEnv {
    return { ...process.env, TMPDIR: join(this.folder, 'tmp') }
  }

  async #must (args: readonly string[]): Promise<string> {
    const [program, ...rest] = this.line(args)
    return await must(program!, rest, { env: this.environment })
  }
}
