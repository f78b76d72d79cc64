import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { after, before, suite, test } from 'node:test'
import { ConfigError } from '../../../src/config.js'
import { FileObjectStore } from '../../../src/registry/store/file-store.js'
import { openStores } from '../../../src/registry/store/open-stores.js'

suite('openStores()', () => {
  let home: string
  before(async () => { home = await mkdtemp(join(tmpdir(), 'permafrost-home-')) })
  after(async () => await rm(home, { recursive: true, force: true }))

  test('uses the folder store under PERMAFROST_HOME unless told otherwise', async () => {
    const { objects } = await openStores({ PERMAFROST_HOME: home })
    await objects.put('a', Buffer.from('1'))
    assert.equal(await (await FileObjectStore.open(join(home, 'store'))).has('a'), true)
  })

  test('follows ARTIFACT_STORE', async () => {
    const { objects } = await openStores({ PERMAFROST_HOME: home, ARTIFACT_STORE: pathToFileURL(join(home, 'else where')).href })
    await objects.put('b', Buffer.from('1'))
    assert.equal(await (await FileObjectStore.open(join(home, 'else where'))).has('b'), true)
  })

  test('refuses what is not an absolute folder', async () => {
    for (const ARTIFACT_STORE of ['file:relative', 'file://elsewhere/folder']) await assert.rejects(openStores({ PERMAFROST_HOME: home, ARTIFACT_STORE }), ConfigError)
  })
})
