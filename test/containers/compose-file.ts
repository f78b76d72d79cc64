/** What `docker-compose.yml` says, read from the file itself: variables put in, short forms spelled out. */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'

export interface Mount {
  /** A path of the host, or the name of a volume. */
  readonly source: string
  readonly target: string
  readonly kind: 'volume' | 'file'
}

export interface ComposeService {
  readonly name: string
  readonly image: string
  /** Absent: built by another service that names the same image. */
  readonly buildArguments: Readonly<Record<string, string>> | null
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly mounts: readonly Mount[]
  readonly tmpfs: readonly string[]
  readonly readOnly: boolean
  readonly dropsAllCapabilities: boolean
  readonly user: string | null
  /** `image`: as the image says. */
  readonly healthcheck: readonly string[] | 'image' | 'none'
  readonly dependsOn: Readonly<Record<string, string>>
  readonly restarts: boolean
  readonly graceSeconds: number
  /** As written, `8080:8080`. */
  readonly ports: readonly string[]
}

export interface ComposeFile { readonly services: ReadonlyMap<string, ComposeService> }

interface RawService {
  readonly image: string
  readonly build?: { readonly args?: Readonly<Record<string, string>> }
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly string[]
  readonly secrets?: readonly string[]
  readonly configs?: ReadonlyArray<{ readonly source: string, readonly target: string }>
  readonly tmpfs?: readonly string[]
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly user?: string
  readonly healthcheck?: { readonly test?: readonly string[], readonly disable?: boolean }
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly restart?: string
  readonly stop_grace_period?: string
  readonly ports?: readonly string[]
}

interface RawFile {
  readonly services: Readonly<Record<string, RawService>>
  readonly configs?: Readonly<Record<string, { readonly file: string }>>
  readonly secrets?: Readonly<Record<string, { readonly file: string }>>
}

/**
 * @param variables what stands for `${NAME}`
 * @throws Error for a variable that the file requires
 */
export function readComposeFile (path: string, variables: Readonly<Record<string, string>>): ComposeFile {
  const raw = interpolated(parse(readFileSync(path, 'utf8'), { merge: true }), variables) as RawFile
  const fileOf = (group: 'configs' | 'secrets', name: string): string => {
    const file = raw[group]?.[name]?.file
    if (file === undefined) throw new Error(`${path}: ${group} has no ${name}`)
    return resolve(dirname(path), file)
  }
  const services = Object.entries(raw.services).map(([name, service]) => serviceOf(name, service, fileOf))
  return { services: new Map(services.map(service => [service.name, service])) }
}

function serviceOf (name: string, raw: RawService, fileOf: (group: 'configs' | 'secrets', name: string) => string): ComposeService {
  const volumes = (raw.volumes ?? []).map((volume): Mount => {
    const [source, target] = volume.split(':') as [string, string]
    return { source, target, kind: 'volume' }
  })
  const secrets = (raw.secrets ?? []).map((secret): Mount => ({ source: fileOf('secrets', secret), target: `/run/secrets/${secret}`, kind: 'file' }))
  const configs = (raw.configs ?? []).map(({ source, target }): Mount => ({ source: fileOf('configs', source), target, kind: 'file' }))
  return {
    name,
    image: raw.image,
    buildArguments: raw.build === undefined ? null : raw.build.args ?? {},
    command: raw.command ?? [],
    environment: raw.environment ?? {},
    mounts: [...volumes, ...secrets, ...configs],
    tmpfs: (raw.tmpfs ?? []).map(entry => entry.split(':')[0]!),
    readOnly: raw.read_only === true,
    dropsAllCapabilities: raw.cap_drop?.includes('ALL') === true,
    user: raw.user ?? null,
    healthcheck: raw.healthcheck?.disable === true ? 'none' : raw.healthcheck?.test ?? 'image',
    dependsOn: Object.fromEntries(Object.entries(raw.depends_on ?? {}).map(([other, { condition }]) => [other, condition])),
    restarts: raw.restart === 'unless-stopped' || raw.restart === 'always',
    graceSeconds: Number.parseInt(raw.stop_grace_period ?? '10s', 10),
    ports: raw.ports ?? []
  }
}

/** In every text of the file, at any depth. Numbers and the like stay; an interpolated text stays a text. */
function interpolated (value: unknown, variables: Readonly<Record<string, string>>): unknown {
  if (typeof value === 'string') return interpolate(value, variables)
  if (Array.isArray(value)) return value.map(item => interpolated(item, variables))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, interpolated(item, variables)]))
}

/** The forms that the file uses: `$$`, `${NAME}`, `${NAME:-otherwise}`, `${NAME:?message}`; empty counts as absent. */
export function interpolate (text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\})/g, (_whole, dollar: string | undefined, name: string, operator: string | undefined, rest: string | undefined) => {
    if (dollar !== undefined) return '$'
    const value = variables[name] ?? ''
    if (value !== '') return value
    if (operator === '?') throw new Error(`the compose file needs ${name}: ${rest ?? ''}`)
    return rest ?? ''
  })
}
