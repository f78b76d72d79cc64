import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { FileObjectStore } from '../../../src/registry/store/file-store.js'
import { objectStoreContract } from './object-store-contract.js'

const folders: string[] = []
async function folder (): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'permafrost-store-'))
  folders.push(path)
  return path
}
after(async () => { for (const path of folders) await rm(path, { recursive: true, force: true }) })

objectStoreContract('object store in a folder', async () => await FileObjectStore.open(join(await folder(), 'new', 'store')))

suite('FileObjectStore', () => {
  test('keeps half-written values out of sight and out of the way', async () => {
    const root = await folder()
    const store = await FileObjectStore.open(root)
    await writeFile(join(root, '.temporary', 'young'), 'half')
    await writeFile(join(root, '.temporary', 'old'), 'half')
    const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 3600
    await utimes(join(root, '.temporary', 'old'), twoDaysAgo, twoDaysAgo)
    assert.deepEqual(await store.list(''), [])
    await assert.rejects(store.get('.temporary/young'), /reserved/)
    await FileObjectStore.open(root)
    assert.deepEqual(await readdir(join(root, '.temporary')), ['young'])
  })

  test('leaves nothing behind when a put fails', async () => {
    const root = await folder()
    const store = await FileObjectStore.open(root)
    await store.put('a', Buffer.from('1'))
    // `a` is a value, so it cannot hold others.
    await assert.rejects(store.put('a/b', Buffer.from('2')))
    assert.deepEqual(await readdir(join(root, '.temporary')), [])
    assert.equal(Buffer.from(await store.get('a') ?? []).toString(), '1')
    assert.equal(existsSync(join(root, 'a', 'b')), false)
  })
})
