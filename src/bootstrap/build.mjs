import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const SOURCES = ['src', 'workers', 'test', 'bench']
const STAMP = '.sources'

export function isBuilt (root) {
  const stamp = join(root, 'dist', STAMP)
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === fingerprint(root)
}

/**
 * Compile into a folder of its own that then takes the place of `dist`: a failed build leaves the old one whole, and a
 * deleted source leaves no output behind.
 * @throws Error with the line to show when the compiler finds mistakes.
 */
export async function build (root) {
  const next = join(root, 'dist.next')
  const old = join(root, 'dist.old')
  // Taken before compiling: an edit meanwhile makes the next start build again.
  const sources = fingerprint(root)
  rmSync(next, { recursive: true, force: true })
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const code = await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [compiler, '-p', root, '--outDir', next, '--noEmitOnError'], { cwd: root, stdio: ['ignore', 2, 2] })
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) {
    rmSync(next, { recursive: true, force: true })
    throw new Error(`the sources do not compile (tsc exit code ${code})`)
  }
  writeFileSync(join(next, STAMP), sources)
  rmSync(old, { recursive: true, force: true })
  if (existsSync(join(root, 'dist'))) renameSync(join(root, 'dist'), old)
  renameSync(next, join(root, 'dist'))
  rmSync(old, { recursive: true, force: true })
}

/** Names and contents of everything the compiler reads: times change with a checkout, contents do not. */
function fingerprint (root) {
  const hash = createHash('sha256')
  const files = SOURCES.flatMap(folder => typescriptBelow(join(root, folder))).sort()
  for (const file of [...files, join(root, 'tsconfig.json'), join(root, 'package-lock.json')]) {
    hash.update(`${relative(root, file)}\0`).update(readFileSync(file)).update('\0')
  }
  return hash.digest('hex')
}

function typescriptBelow (folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return typescriptBelow(path)
    return entry.name.endsWith('.ts') ? [path] : []
  })
}
