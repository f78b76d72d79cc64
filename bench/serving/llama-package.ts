/**
 * node-llama-cpp, for comparison only: too large to be a dependency, so it is installed where benchmarks keep their
 * things. Its CPU build as published: no GPU packages, nothing compiled, no script of a package runs.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { BenchFailure } from '../failure.js'

export const LLAMA_VERSION = '3.22.1'
const PACKAGE = 'node-llama-cpp'
const CPU_PACKAGES: Readonly<Record<string, string>> = {
  'linux-x64': 'linux-x64', 'linux-arm64': 'linux-arm64', 'darwin-arm64': 'mac-arm64-metal', 'darwin-x64': 'mac-x64', 'win32-x64': 'win-x64', 'win32-arm64': 'win-arm64'
}

/**
 * @param folder of the benchmarks' own things
 * @returns the URL to import
 * @throws BenchFailure that says why it is not to be had
 */
export async function llamaModule (folder: string, say: (line: string) => void): Promise<string> {
  const binary = CPU_PACKAGES[`${process.platform}-${process.arch}`]
  if (binary === undefined) throw new BenchFailure(`${PACKAGE} has no CPU build for ${process.platform}-${process.arch}`)
  const home = join(folder, `${PACKAGE}-${LLAMA_VERSION}`)
  const packages = [PACKAGE, `@${PACKAGE}/${binary}`]
  const modules = join(home, 'node_modules')
  if (!packages.every(name => existsSync(join(modules, name, 'package.json')))) {
    say(`installing ${PACKAGE} ${LLAMA_VERSION} in ${home}`)
    await install(home, packages.map(name => `${name}@${LLAMA_VERSION}`))
  }
  return pathToFileURL(join(modules, PACKAGE, 'dist', 'index.js')).href
}

async function install (home: string, packages: readonly string[]): Promise<void> {
  await mkdir(home, { recursive: true })
  await writeFile(join(home, 'package.json'), '{ "private": true }\n')
  try {
    await promisify(execFile)('npm', ['install', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', '--save-exact', ...packages], { cwd: home })
  } catch (error) {
    const { code, stderr = '' } = error as { code?: string | number, stderr?: string }
    throw new BenchFailure(`npm could not install ${packages.join(' ')} in ${home}: ${stderr.trim().split('\n')[0] || `npm ended with ${code}`}`)
  }
}
