/** The base that benchmarks measure: PERMAFROST_BASE or the default one, imported once under PERMAFROST_HOME. */
import { mkdir } from 'node:fs/promises'
import type { Config } from '../src/config.js'
import type { Base } from '../src/model/base.js'
import { baseSource } from '../src/supervisor/base-model.js'
import { homePaths } from '../src/supervisor/home.js'
import { importInOwnProcess } from '../src/supervisor/import-base.js'

/** Its file or folder, fetched when it is not on this machine yet. @throws Error that says what to do */
export async function defaultBaseSource (config: Config): Promise<string> {
  return await baseSource(config, line => { process.stderr.write(`${line}\n`) })
}

/** @throws Error that says what to do */
export async function openDefaultBase (config: Config): Promise<Base> {
  const { home } = homePaths(config.PERMAFROST_HOME)
  await mkdir(home, { recursive: true, mode: 0o700 })
  return await importInOwnProcess(await defaultBaseSource(config), { ...process.env, PERMAFROST_HOME: home })
}
