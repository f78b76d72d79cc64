import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Base, openBase } from '../model/base.js'

const MAIN = fileURLToPath(new URL('../cli/main.js', import.meta.url))

/**
 * `permafrost base add` in a process of its own: what the import allocates goes back to the system, and this process
 * stays responsive to signals. Its progress goes to our stderr.
 * @throws Error when it fails; it has said why on stderr
 */
export async function importInOwnProcess (source: string, env: NodeJS.ProcessEnv): Promise<Base> {
  const child = spawn(process.execPath, [MAIN, 'base', 'add', source, '--json'], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], env })
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => { output += text })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`the base model ${source} can not be imported`)
  return await openBase((JSON.parse(output) as { folder: string }).folder)
}
