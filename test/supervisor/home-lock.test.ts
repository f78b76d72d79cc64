import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { HomeInUseError, lockHome } from '../../src/supervisor/home-lock.js'
import { identityOf, isAlive } from '../../src/supervisor/process-identity.js'

const MODULE = pathToFileURL(join(import.meta.dirname, '..', '..', 'src', 'supervisor', 'home-lock.js')).href

suite('lockHome()', () => {
  let folder: string
  let file: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-lock-'))
    file = join(folder, 'start.lock')
  })
  after(async () => await rm(folder, { recursive: true, force: true }))

  test('refuses a second holder by naming the first, and is free after release', async () => {
    const script = `const { lockHome } = await import('${MODULE}'); lockHome('${file}'); console.log('held'); setInterval(() => {}, 1000)`
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(holder.stdout, 'data')
    assert.throws(() => lockHome(file), (error: Error) => error instanceof HomeInUseError && error.message.includes(`process ${holder.pid ?? ''}`))
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    const release = lockHome(file)
    release()
    assert.equal(existsSync(file), false)
  })

  test('takes over the lock of a dead process whose number another process has now', async () => {
    const [pid] = (identityOf(process.pid) ?? '').split(' ')
    await writeFile(file, `${pid ?? ''} 1`)
    lockHome(file)()
  })

  test('of starts that find one dead lock at once, one wins', async () => {
    await writeFile(file, '999999999 1')
    const script = `const { lockHome } = await import('${MODULE}')
      process.stdin.once('data', () => { try { lockHome('${file}'); console.log('won') } catch (error) { console.log(error.name) } })
      console.log('ready')`
    const starts = Array.from({ length: 6 }, () => spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] }))
    await Promise.all(starts.map(async child => await once(child.stdout, 'data')))
    for (const child of starts) child.stdin.write('go')
    const answers = await Promise.all(starts.map(async child => String((await once(child.stdout, 'data'))[0]).trim()))
    for (const child of starts) child.stdin.end()
    assert.deepEqual(answers.sort(), ['HomeInUseError', 'HomeInUseError', 'HomeInUseError', 'HomeInUseError', 'HomeInUseError', 'won'])
  })
})

suite('isAlive()', () => {
  test('knows this process, and not one of the same number that started at another time', () => {
    const mine = identityOf(process.pid) ?? ''
    assert.equal(isAlive(mine), true)
    assert.equal(isAlive(`${mine}1`), false)
    assert.equal(isAlive(''), false)
  })
})
