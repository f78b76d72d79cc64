/** What the image holds, and what it must not hold. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'
import type { ImageConfig } from './buildah.js'
import { command } from './tools.js'

const MB = 1_000_000
const MAX_IMAGE_BYTES = 350 * MB
const MAX_FILE_BYTES = 50 * MB
/** The base brings the first, ONNX Runtime is the second. */
const MAY_BE_LARGE = /^(usr\/local\/bin\/node|app\/node_modules\/onnxruntime-node\/.*\/libonnxruntime\.so[.0-9]*)$/
/** Of ONNX Runtime's platforms, those whose libraries must be gone. */
const FOREIGN = /^app\/node_modules\/onnxruntime-node\/bin\/napi-v\d+\/(?!linux\/)/
/** The prompts that are shipped are the only trained thing. */
const MODEL = /\.(gguf|onnx|safetensors|bin|data)$/
const SHARES: ReadonlyArray<readonly [name: string, paths: RegExp]> = [
  ['Node', /^usr\/local\//],
  ['ONNX Runtime', /^app\/node_modules\/onnxruntime-/],
  ['other packages', /^app\/node_modules\//],
  ['Permafrost', /^app\//],
  ['Debian', /^/]
]

interface File { readonly path: string, readonly bytes: number }

/** @returns lines about size and content. @throws Error naming every file that must not be there */
export function checkImage (root: string, config: ImageConfig): string[] {
  const files = filesBelow(root)
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  const { packages } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package-lock.json'), 'utf8')) as { packages: Readonly<Record<string, { readonly dev?: boolean }>> }
  const forDevelopment = Object.keys(packages).filter(path => packages[path]!.dev === true)
  const wrong = files.flatMap(({ path, bytes }) => {
    if (bytes > MAX_FILE_BYTES && !MAY_BE_LARGE.test(path)) return [`${path} has ${(bytes / MB).toFixed(0)} MB`]
    if (/^app\/.*\.map$/.test(path)) return [`${path} is a source map`]
    if (FOREIGN.test(path)) return [`${path} is another platform's`]
    if (/(^|\/)(\.npm|_cacache)\//.test(path)) return [`${path} is npm's cache`]
    if (MODEL.test(path) && path.startsWith('app/') && !path.startsWith('app/examples/prompts/') && !path.startsWith('app/node_modules/')) return [`${path} looks like a model`]
    return []
  })
  wrong.push(...forDevelopment.filter(folder => files.some(({ path }) => path.startsWith(`app/${folder}/`))).map(folder => `${folder} is for development`))
  if (total > MAX_IMAGE_BYTES) wrong.push(`the image has ${(total / MB).toFixed(0)} MB, limit ${MAX_IMAGE_BYTES / MB}`)
  if (config.user === '' || config.user.startsWith('0') || config.user.startsWith('root')) wrong.push(`the image runs as ${config.user || 'root'}`)
  if (config.healthcheck.length === 0) wrong.push('the image has no health check')
  if (config.labels['org.opencontainers.image.title'] === undefined) wrong.push('the image has no OCI labels')
  if (config.environment.some(variable => /^(REDIS_PASSWORD|INFERENCE_SECRET|FIRST_API_KEY|HF_TOKEN)=./.test(variable))) wrong.push('the image holds a secret')
  if (wrong.length > 0) throw new Error(`the image holds what it must not:\n  ${wrong.slice(0, 20).join('\n  ')}`)
  return [
    `${(total / MB).toFixed(0)} MB in ${files.length} files: ${shares(files).join(', ')}`,
    `over ${MAX_FILE_BYTES / MB} MB: ${files.filter(({ bytes }) => bytes > MAX_FILE_BYTES).map(({ path, bytes }) => `${path} (${(bytes / MB).toFixed(0)} MB)`).join(', ')}`
  ]
}

/** What the advisories of the registry say of the packages in the image. */
export async function auditPackages (): Promise<string> {
  const { stdout, stderr } = await command('npm', ['audit', '--omit=dev', '--json'], { cwd: PROJECT_ROOT })
  const report = parsed(stdout)
  const counts = report?.metadata?.vulnerabilities
  if (counts === undefined) return `npm audit: not answered by the registry of this machine (${/\b4\d\d\b[^\n]*|audit endpoint[^\n]*/.exec(stdout + stderr)?.[0] ?? 'no report'})`
  if (counts.high + counts.critical > 0) throw new Error(`npm audit --omit=dev: ${counts.high} high, ${counts.critical} critical`)
  return `npm audit --omit=dev: ${JSON.stringify(counts)}`
}

function parsed (text: string): { readonly metadata?: { readonly vulnerabilities?: { readonly high: number, readonly critical: number } } } | null {
  try {
    return JSON.parse(text) as ReturnType<typeof parsed>
  } catch {
    return null
  }
}

/** Megabytes by what they are for; each file counts for the first that fits. */
function shares (files: readonly File[]): string[] {
  const sums = new Map<string, number>()
  for (const { path, bytes } of files) {
    const name = SHARES.find(([, paths]) => paths.test(path))![0]
    sums.set(name, (sums.get(name) ?? 0) + bytes)
  }
  return [...sums].sort(([, a], [, b]) => b - a).map(([name, bytes]) => `${name} ${(bytes / MB).toFixed(1)}`)
}

/** Entries with their types: by names alone, Node 20 goes through links, out of the image. */
function filesBelow (root: string): File[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
    .map(path => ({ path: relative(root, path), bytes: lstatSync(path).size }))
}
