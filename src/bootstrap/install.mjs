import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** npm ci starts by removing node_modules, the marker with it: a broken installation never carries one. */
const MARKER = join('node_modules', '.permafrost-installed')
/** npm's own record of what it put into node_modules. */
const HIDDEN_LOCKFILE = join('node_modules', '.package-lock.json')

export function isInstalled (root) {
  const wanted = fingerprint(root)
  if (readOr(join(root, MARKER), '') === wanted) return true
  // `npm ci` by hand leaves no marker.
  if (!agreesWithLockfile(root)) return false
  writeFileSync(join(root, MARKER), wanted)
  return true
}

/** @throws Error with the line to show when npm fails. */
export async function install (root) {
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  // The compiler is a development dependency and koffi's binary an optional one: both are needed whatever NODE_ENV says.
  const command = [...npm, 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
  // onnxruntime-node's script would fetch GPU libraries; the CPU library is inside the package.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' }
  const code = await new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), { cwd: root, env, stdio: ['ignore', 2, 2] })
    child.once('error', error => reject(new Error(`npm can not be run (${error.message}); it comes with Node.js`)))
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`npm ci failed (exit code ${code}); its own lines above say why`)
  writeFileSync(join(root, MARKER), fingerprint(root))
}

/** The lockfile and the platform its binaries were chosen for. */
function fingerprint (root) {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')))
  return `${hash.digest('hex')} ${process.platform}-${process.arch}`
}

function agreesWithLockfile (root) {
  if (!existsSync(join(root, HIDDEN_LOCKFILE))) return false
  const installed = JSON.parse(readFileSync(join(root, HIDDEN_LOCKFILE), 'utf8')).packages
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) =>
    path === '' ||
    (optional === true && installed[path] === undefined && !fitsHere(wanted[path])) ||
    (installed[path] !== undefined && installed[path].version === version && installed[path].integrity === integrity))
}

/** Optional packages are binaries for one platform each: absent is right for the others, wrong for ours. */
function fitsHere ({ os, cpu, libc }) {
  return (os?.includes(process.platform) ?? true) && (cpu?.includes(process.arch) ?? true) && (libc?.includes('glibc') ?? true)
}

function readOr (file, otherwise) {
  return existsSync(file) ? readFileSync(file, 'utf8') : otherwise
}
