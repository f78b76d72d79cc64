import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type Digest, digestOf } from '../../src/digest.js'
import { ServiceError } from '../../src/errors.js'
import { artifactDigest } from '../../src/prompt/artifact-digest.js'
import type { ArtifactFiles } from '../../src/prompt/artifact.js'
import type { NewVersion, TaskRecord, VersionRecord } from '../../src/registry/registry.js'
import { type ExamplePrompt, registerExamples, shippedPrompts } from '../../src/first-start/example-prompts.js'
import { BASE, manifest, writeExample } from './example-folder.js'

/** As much of registry and store as registering asks for. */
class Memory {
  readonly tasks = new Map<string, TaskRecord>()
  readonly versions = new Map<string, Array<NewVersion & VersionRecord>>()
  readonly stored = new Set<Digest>()

  async getTask (_tenant: string, name: string): Promise<TaskRecord> {
    const task = this.tasks.get(name)
    if (task === undefined) throw new ServiceError('task_not_found', name)
    return task
  }

  async createTask (_tenant: string, task: TaskRecord): Promise<void> { this.tasks.set(task.name, task) }
  async listVersions (_tenant: string, name: string): Promise<VersionRecord[]> { return this.versions.get(name) ?? [] }
  async publishVersion (_tenant: string, name: string, version: NewVersion): Promise<VersionRecord> {
    const published = this.versions.get(name) ?? []
    const record = { ...version, number: published.length + 1, createdAt: new Date().toISOString() }
    this.versions.set(name, [...published, record])
    return record
  }

  async has (digest: Digest): Promise<boolean> { return this.stored.has(digest) }
  async put (files: ArtifactFiles): Promise<Digest> {
    const digest = artifactDigest(files)
    this.stored.add(digest)
    return digest
  }
}

suite('example prompts', () => {
  let folder: string
  let shipped: ExamplePrompt[]
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-examples-'))
    await writeExample(folder, 'writer')
    await writeExample(folder, 'stranger', digestOf('another base'))
    shipped = await shippedPrompts(folder)
  })
  after(async () => await rm(folder, { recursive: true, force: true }))

  const register = async (memory: Memory, everything: boolean): Promise<string[]> =>
    (await registerExamples(shipped, manifest, 'default', memory, memory, everything)).map(task => task.name)

  test('those of this base become tasks with a version in production, those of another base are left out', async () => {
    const memory = new Memory()
    assert.deepEqual(await register(memory, true), ['writer'])
    assert.equal(memory.tasks.get('writer')?.base, BASE)
    const [version] = memory.versions.get('writer')!
    assert.deepEqual([version?.alias, version?.method, version?.metrics], ['production', 'prompt-tuning', { loss: 1 }])
    assert.equal(memory.tasks.size, 1)
  })

  test('a second start registers nothing twice', async () => {
    const memory = new Memory()
    await register(memory, true)
    assert.deepEqual(await register(memory, false), ['writer'])
    assert.equal(memory.versions.get('writer')?.length, 1)
  })

  test('a task that was deleted stays deleted', async () => {
    const memory = new Memory()
    await register(memory, true)
    memory.tasks.delete('writer')
    assert.deepEqual(await register(memory, false), [])
    assert.equal(memory.tasks.size, 0)
  })

  test('a start that was cut off between task and version is completed, new registry or not', async () => {
    for (const everything of [true, false]) {
      const memory = new Memory()
      await register(memory, true)
      memory.versions.clear()
      assert.deepEqual(await register(memory, everything), ['writer'])
      assert.equal(memory.versions.get('writer')?.length, 1)
    }
  })

  test('a task of the operator with the name of an example gets no version of it', async () => {
    const memory = new Memory()
    await register(memory, true)
    memory.tasks.set('writer', { ...memory.tasks.get('writer')!, description: 'my own' })
    memory.versions.clear()
    assert.deepEqual(await register(memory, true), [])
    assert.equal(memory.versions.size, 0)
  })

  test('none are shipped in a folder that does not exist', async () => {
    assert.deepEqual(await shippedPrompts(join(folder, 'nowhere')), [])
  })
})
