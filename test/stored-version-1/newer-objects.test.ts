/** Artifacts, checkpoints, bases and the files of a home that a version of schema 2 has written are refused by name and stay as they are. */
import assert from 'node:assert/strict'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { pino } from 'pino'
import { startedService } from '../../src/cli/running-service.js'
import type { Digest } from '../../src/digest.js'
import { CApiEngine } from '../../src/inference/engine/c-api.js'
import { startService } from '../../src/inference/start-service.js'
import { BASE_FILES, openBase } from '../../src/model/base.js'
import { readBaseIndex } from '../../src/model/base-index.js'
import { importBase } from '../../src/model/import.js'
import { ARTIFACT_FILES, type ArtifactFiles } from '../../src/prompt/artifact.js'
import { artifactDigest } from '../../src/prompt/artifact-digest.js'
import { readArtifact, readManifest } from '../../src/prompt/artifact-files.js'
import { artifactListKey } from '../../src/registry/store/object-keys.js'
import { homePaths } from '../../src/supervisor/home.js'
import { CheckpointStore } from '../../workers/checkpoint.js'
import { classification, collect, SETTINGS } from '../inference/tiny-service.js'
import { facts } from './snapshot.js'
import { ofSchema2, openTestbed, refused, type Testbed } from './testbed.js'

const { tenant, jobs } = facts
const { digest } = facts.inferences[0]!

/** Writes the file as a version of schema 2 would; the answer checks that it stayed so, and writes it back. */
async function newerFile (path: string): Promise<() => Promise<void>> {
  const original = await readFile(path, 'utf8')
  await writeFile(path, ofSchema2(original))
  return async () => {
    assert.equal(await readFile(path, 'utf8'), ofSchema2(original))
    await writeFile(path, original)
  }
}

suite('of a newer schema', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  test('the list of an artifact\'s files', async () => {
    const { artifacts, objects } = bed.stores
    const files = await artifacts.get(digest)
    const list = ofSchema2(Buffer.from((await objects.get(artifactListKey(digest)))!).toString())
    await objects.put(artifactListKey(digest), Buffer.from(list))
    const expected = refused(`the list of files of artifact ${digest}`)
    await assert.rejects(artifacts.get(digest), expected)
    await assert.rejects(artifacts.put(files), expected)
    assert.equal(Buffer.from((await objects.get(artifactListKey(digest)))!).toString(), list)
    await objects.put(artifactListKey(digest), Buffer.from(list.replace('"schema":2', '"schema":1')))
    assert.deepEqual(await artifacts.get(digest), files)
  })

  test('an artifact, whatever else it holds, also where it is to be served', async () => {
    const { base, stores: { artifacts } } = bed
    const files = new Map(await artifacts.get(digest))
    files.set(ARTIFACT_FILES.manifest, Buffer.from(ofSchema2(Buffer.from(files.get(ARTIFACT_FILES.manifest)!).toString())))
    files.set('of-another-version', Buffer.from(''))
    const expected = refused(`artifact ${artifactDigest(files)}`)
    assert.throws(() => readManifest(files), expected)
    assert.throws(() => readArtifact(files, { base: facts.base, config: base.manifest.config }), expected)

    const store = { get: async (wanted: Digest): Promise<ArtifactFiles> => wanted === digest ? await artifacts.get(wanted) : files }
    const service = await startService(base, store, SETTINGS, pino({ level: 'silent' }), CApiEngine.open)
    try {
      await assert.rejects(collect(service, classification([1, 2, 3], artifactDigest(files))), expected)
      assert.equal((await collect(service, classification([1, 2, 3], digest)))[0]?.type, 'scores')
    } finally {
      await service.stop(0)
    }
  })

  test('a checkpoint', async () => {
    const { objects } = bed.stores
    const { data } = await bed.registry.getJob(tenant, jobs.running)
    const [key] = await objects.list(`checkpoints/${tenant}/${jobs.running}/`)
    const checkpoints = new CheckpointStore(objects, data)
    assert.ok((await checkpoints.load())!.step > 0)
    const bytes = Buffer.from((await objects.get(key!))!)
    const header = '{\\"schema\\":'
    assert.ok(bytes.includes(`${header}1`))
    bytes.write(`${header}2`, bytes.indexOf(`${header}1`))
    await objects.put(key!, bytes)
    await assert.rejects(checkpoints.load(), refused(`the checkpoint of job ${jobs.running}`))
  })

  test('a base: it is neither opened nor replaced', async () => {
    const { folder } = bed.base
    const bases = dirname(folder)
    const home = dirname(bases)
    const check = await newerFile(join(folder, BASE_FILES.manifest))
    const expected = refused(`the base in ${folder}`)
    await assert.rejects(openBase(folder), expected)
    await assert.rejects(importBase(join(home, 'tiny-llama'), home, () => {}), expected)
    await rename(join(bases, 'index.json'), join(home, 'index.json'))
    await assert.rejects(importBase(join(home, 'tiny-llama'), home, () => {}), expected)
    await rename(join(home, 'index.json'), join(bases, 'index.json'))
    await check()
  })

  test('the index of the bases', async () => {
    const bases = dirname(bed.base.folder)
    const path = join(bases, 'index.json')
    const check = await newerFile(path)
    await assert.rejects(readBaseIndex(bases), refused(path))
    await assert.rejects(importBase(join(dirname(bases), 'tiny-llama'), dirname(bases), () => {}), refused(path))
    await check()
  })

  test('what a running service says of itself', async () => {
    const paths = homePaths(dirname(dirname(bed.base.folder)))
    await writeFile(paths.service, JSON.stringify({ schema: 2 }))
    await assert.rejects(startedService(paths), refused(paths.service))
    await rm(paths.service)
  })
})
