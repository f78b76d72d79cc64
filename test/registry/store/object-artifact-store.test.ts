import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, suite, test } from 'node:test'
import { digestOf, hexOf } from '../../../src/digest.js'
import type { ArtifactFiles } from '../../../src/prompt/artifact.js'
import { FileObjectStore } from '../../../src/registry/store/file-store.js'
import { ObjectArtifactStore } from '../../../src/registry/store/object-artifact-store.js'
import type { ObjectStore } from '../../../src/registry/store/object-store.js'

const FILES: ArtifactFiles = new Map([
  ['permafrost.json', Buffer.from('{"schema":1}')],
  ['adapter_model.safetensors', Buffer.from([1, 2, 3, 4])]
])

suite('ObjectArtifactStore', () => {
  const folders: string[] = []
  let objects: ObjectStore
  let artifacts: ObjectArtifactStore
  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'permafrost-artifacts-'))
    folders.push(folder)
    objects = await FileObjectStore.open(folder)
    artifacts = new ObjectArtifactStore(objects)
  })
  after(async () => { for (const path of folders) await rm(path, { recursive: true, force: true }) })

  test('returns the files that were put, under a digest of names and bytes alone', async () => {
    const digest = await artifacts.put(FILES)
    // SHA-256 over the canonical JSON of the sorted entries, written out.
    assert.equal(digest, digestOf('[' + [...FILES].reverse().map(([name, bytes]) => `{"bytes":${bytes.byteLength},"name":"${name}","sha256":"${digestOf(bytes)}"}`).join(',') + ']'))
    assert.equal(await artifacts.put(new Map([...FILES].reverse())), digest)
    assert.equal(await artifacts.has(digest), true)
    const found = await artifacts.get(digest)
    assert.deepEqual(new Map([...found].map(([name, bytes]) => [name, Buffer.from(bytes)])), new Map([...FILES].reverse()))
  })

  test('lays the files out as a folder that PEFT reads', async () => {
    const digest = await artifacts.put(FILES)
    assert.deepEqual(await objects.list(''), [`artifacts/${hexOf(digest)}.json`, `artifacts/${hexOf(digest)}/adapter_model.safetensors`, `artifacts/${hexOf(digest)}/permafrost.json`].sort())
  })

  test('refuses to hand out damaged bytes, and is mended by putting the right ones', async () => {
    const digest = await artifacts.put(FILES)
    const folder = `artifacts/${hexOf(digest)}`
    const damages: Array<() => Promise<void>> = [
      async () => await objects.put(`${folder}/permafrost.json`, Buffer.from('{"schema":9}')),
      async () => await objects.delete(`${folder}/permafrost.json`),
      async () => await objects.put(`${folder}.json`, Buffer.from('{')),
      async () => await objects.put(`${folder}.json`, Buffer.from('{"schema":0,"files":[]}')),
      async () => await objects.put(`${folder}.json`, Buffer.from('{"schema":1,"files":[]}'))
    ]
    for (const damage of damages) {
      await damage()
      await assert.rejects(artifacts.get(digest), { code: 'artifact_corrupt' })
      assert.equal(await artifacts.put(FILES), digest)
      assert.equal((await artifacts.get(digest)).size, 2)
    }
  })

  test('does not know an artifact whose list was not written', async () => {
    const digest = await artifacts.put(FILES)
    await objects.delete(`artifacts/${hexOf(digest)}.json`)
    assert.equal(await artifacts.has(digest), false)
    await assert.rejects(artifacts.get(digest), { code: 'version_not_found' })
  })
})
