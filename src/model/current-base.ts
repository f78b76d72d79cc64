/** Which of the imported bases a process takes: that of BASE_FOLDER, else the one that `base add` made last. */
import { basename, join } from 'node:path'
import type { Config } from '../config.js'
import { type Base, openBase } from './base.js'
import { pointTo } from './durable-folder.js'

type Settings = Pick<Config, 'BASE_FOLDER' | 'PERMAFROST_HOME'>

/** A symbolic link beside the base folders; relative, because a volume may be mounted anywhere. */
const CURRENT = 'current'

/** Folder that holds the bases under `PERMAFROST_HOME`. */
export function basesFolder (home: string): string {
  return join(home, 'bases')
}

/** A later `base add` changes nothing for the base that was opened. @throws as `openBase` */
export async function openCurrentBase (settings: Settings): Promise<Base> {
  return await openBase(currentFolder(settings))
}

/** What `openCurrentBase` looks for, for log and `/readyz`. */
export function basePlace (settings: Settings): string {
  return `a base in ${currentFolder(settings)} (permafrost base add puts one there)`
}

export async function makeCurrent ({ folder }: Base, home: string): Promise<void> {
  await pointTo(basename(folder), join(basesFolder(home), CURRENT))
}

function currentFolder ({ BASE_FOLDER, PERMAFROST_HOME }: Settings): string {
  return BASE_FOLDER ?? join(basesFolder(PERMAFROST_HOME), CURRENT)
}
