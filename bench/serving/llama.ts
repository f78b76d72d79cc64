/** node-llama-cpp on one GGUF file. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ChildSubject, type Reply } from './child-subject.js'
import type { Settings } from './llama-process.js'

/** @throws BenchFailure when it does not run here */
export async function openLlama (name: string, settings: Settings): Promise<ChildSubject> {
  const child = fork(fileURLToPath(new URL('./llama-process.js', import.meta.url)), [JSON.stringify(settings)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  return await ChildSubject.open(name, {
    child,
    send: load => { child.send(load) },
    reply: async signal => (await once(child, 'message', { signal }))[0] as Reply,
    end: () => child.disconnect()
  })
}
