/** The image under test, on a base made here: Debian by debootstrap plus the Node that the Dockerfile names. */
import { cp, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'
import type { Buildah } from './buildah.js'
import { must } from './tools.js'

const MIRROR = 'http://deb.debian.org/debian'
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
/** What Debian's slim images leave out too. */
const NOT_SLIM = ['var/lib/apt/lists', 'var/cache/apt', 'usr/share/doc', 'usr/share/man', 'usr/share/locale', 'usr/share/info', 'usr/share/lintian', 'var/log']

export const IMAGE = 'localhost/permafrost'
/** Redis and HAProxy of Debian, where the compose file names images of a registry. */
export const STAND_IN = 'localhost/stand-in'
const BASE = 'localhost/node'

/** Node's version and Debian's name from the base image that the Dockerfile names: `node:24.1.0-bookworm-slim`. */
export async function defaultBase (): Promise<{ readonly node: string, readonly debian: string }> {
  const dockerfile = await readFile(join(PROJECT_ROOT, 'Dockerfile'), 'utf8')
  const [, node, debian] = /^ARG BASE_IMAGE=node:([0-9.]+)-([a-z]+)-slim$/m.exec(dockerfile) ?? []
  if (node === undefined || debian === undefined) throw new Error('the Dockerfile names no base image like node:24.1.0-bookworm-slim')
  return { node, debian }
}

export async function buildBase (buildah: Buildah): Promise<void> {
  const { node, debian } = await defaultBase()
  const root = join(buildah.folder, 'debian')
  await must('debootstrap', ['--variant=minbase', '--include=ca-certificates', debian, root, MIRROR])
  for (const folder of NOT_SLIM) {
    await rm(join(root, folder), { recursive: true, force: true })
    await mkdir(join(root, folder), { recursive: true })
  }
  // A machine behind a proxy knows certificates that Debian does not.
  await copyFile(CERTIFICATES, join(root, CERTIFICATES))
  await addNode(buildah.folder, root, node)
  const file = join(buildah.folder, 'base.Dockerfile')
  await writeFile(file, `FROM scratch\nCOPY . /\nENV NODE_EXTRA_CA_CERTS=${CERTIFICATES}\n`)
  await buildah.build(BASE, file, root, {})
  await rm(root, { recursive: true, force: true })
}

/** The program from npm's package of it, and the npm that runs these tests. */
async function addNode (folder: string, root: string, version: string): Promise<void> {
  const name = `node-linux-${process.arch}`
  await must('npm', ['pack', '--silent', `${name}@${version}`], { cwd: folder })
  await must('tar', ['xzf', `${name}-${version}.tgz`, 'package/bin/node'], { cwd: folder })
  await copyFile(join(folder, 'package', 'bin', 'node'), join(root, 'usr/local/bin/node'))
  await must('chmod', ['0755', join(root, 'usr/local/bin/node')])
  const npm = dirname(dirname(process.env['npm_execpath'] ?? '/usr/lib/node_modules/npm/bin/npm-cli.js'))
  await cp(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'))
}

/** @param buildArguments of the compose file; the base takes the place of the one it names */
export async function buildImage (buildah: Buildah, buildArguments: Readonly<Record<string, string>>): Promise<void> {
  await buildah.build(IMAGE, join(PROJECT_ROOT, 'Dockerfile'), PROJECT_ROOT, { ...buildArguments, BASE_IMAGE: BASE })
}

export async function buildStandIn (buildah: Buildah): Promise<void> {
  const file = join(buildah.folder, 'stand-in.Dockerfile')
  await writeFile(file, `FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends redis-server haproxy && rm -rf /var/lib/apt/lists/*
RUN install -d -o redis -g redis /data
`)
  const empty = join(buildah.folder, 'empty')
  await mkdir(empty)
  await buildah.build(STAND_IN, file, empty, {})
}
