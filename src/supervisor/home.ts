import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** sun_path of unix(7) holds 108 bytes, the closing zero included. */
const MAX_SOCKET_PATH = 107
const LONGEST_SOCKET_NAME = 'inference.sock'

/** Where `start` keeps what under PERMAFROST_HOME. */
export interface HomePaths {
  readonly home: string
  /** Downloaded files as their sources have them. */
  readonly models: string
  /** Append-only file, configuration and log of the private Redis. */
  readonly redis: string
  /** Output of each process. */
  readonly logs: string
  /** Unix sockets; elsewhere when the home's path is too long for one. */
  readonly sockets: string
  /** The first API key, mode 0600. */
  readonly apiKey: string
  /** Held by the running `start`. */
  readonly lock: string
  /** Its child processes, should it die without ending them. */
  readonly children: string
  /** Where the running service answers. */
  readonly service: string
}

export function homePaths (home: string): HomePaths {
  const root = resolve(home)
  const inside = join(root, 'run')
  const fits = Buffer.byteLength(join(inside, LONGEST_SOCKET_NAME)) <= MAX_SOCKET_PATH
  return {
    home: root,
    models: join(root, 'models'),
    redis: join(root, 'redis'),
    logs: join(root, 'logs'),
    sockets: fits ? inside : join(tmpdir(), `permafrost-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`),
    apiKey: join(root, 'api-key'),
    lock: join(root, 'start.lock'),
    children: join(root, 'children'),
    service: join(root, 'service.json')
  }
}
