import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const RETRY_MS = 100

/**
 * Run `work` while no other process on this machine runs under the same `folder`; `onWait` is called once when it has
 * to wait. The lock is a socket name in Linux's abstract namespace: the kernel frees it with its holder, however that
 * one dies, so there is no stale lock to judge.
 */
export async function exclusively (folder, onWait, work) {
  const name = `\0permafrost-${createHash('sha256').update(folder).digest('hex').slice(0, 32)}`
  let lock = await tryLock(name)
  if (lock === null) onWait()
  while (lock === null) {
    await sleep(RETRY_MS)
    lock = await tryLock(name)
  }
  try {
    return await work()
  } finally {
    await new Promise(resolve => lock.close(resolve))
  }
}

function tryLock (name) {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.once('error', error => error.code === 'EADDRINUSE' ? resolve(null) : reject(error))
    server.listen(name, () => resolve(server))
  })
}
