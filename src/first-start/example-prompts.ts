/** The prompts that the project ships, registered like any other version. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ServiceError } from '../errors.js'
import type { BaseManifest } from '../model/base.js'
import { artifactDigest } from '../prompt/artifact-digest.js'
import { readArtifact } from '../prompt/artifact-files.js'
import { ARTIFACT_FILES, type ArtifactFiles } from '../prompt/artifact.js'
import { PRODUCTION } from '../registry/names.js'
import type { Registry, TaskRecord } from '../registry/registry.js'
import type { ArtifactStore } from '../registry/store/artifact-store.js'
import { isOfNewerSchema } from '../schema.js'

/** `task.json` beside the files of the artifact. */
export const ExampleTaskSchema = Type.Object({
  name: Type.String(),
  description: Type.String(),
  /** Shown in the command to paste. */
  example_input: Type.String()
}, { additionalProperties: false })
export type ExampleTask = Static<typeof ExampleTaskSchema>
export const EXAMPLE_TASK_FILE = 'task.json'

export interface ExamplePrompt { readonly task: ExampleTask, readonly files: ArtifactFiles }

/** What registering needs of the registry. */
export type Tasks = Pick<Registry, 'getTask' | 'createTask' | 'listVersions' | 'publishVersion'>
/** And of the store. */
export type Artifacts = Pick<ArtifactStore, 'has' | 'put'>

/** What is shipped in `folder`, one folder a prompt, sorted by name. */
export async function shippedPrompts (folder: string): Promise<ExamplePrompt[]> {
  if (!existsSync(folder)) return []
  const names = (await readdir(folder)).sort().filter(name => existsSync(join(folder, name, EXAMPLE_TASK_FILE)))
  return await Promise.all(names.map(async name => {
    const task = Value.Decode(ExampleTaskSchema, JSON.parse(await readFile(join(folder, name, EXAMPLE_TASK_FILE), 'utf8')))
    const present = Object.values(ARTIFACT_FILES).filter(file => existsSync(join(folder, name, file)))
    const files = new Map(await Promise.all(present.map(async file => [file, await readFile(join(folder, name, file))] as const)))
    return { task, files }
  }))
}

/**
 * Register those that belong to this base, each once, however many processes do it at a time. A task that the operator
 * deleted stays deleted, and one of the operator's own under the same name stays as it is.
 * @param everything also those that were registered before (the registry is new)
 * @returns the example tasks that this tenant can use
 */
export async function registerExamples (prompts: readonly ExamplePrompt[], base: BaseManifest, tenant: string, registry: Tasks, artifacts: Artifacts, everything: boolean): Promise<ExampleTask[]> {
  const usable: ExampleTask[] = []
  for (const prompt of prompts) {
    try {
      if (await register(prompt, base, tenant, registry, artifacts, everything)) usable.push(prompt.task)
    } catch (error) {
      // A newer version is at work here too, and looks after its own.
      if (!isOfNewerSchema(error)) throw error
    }
  }
  return usable
}

async function register ({ task: { name, description }, files }: ExamplePrompt, base: BaseManifest, tenant: string, registry: Tasks, artifacts: Artifacts, everything: boolean): Promise<boolean> {
  const manifest = manifestFor(files, base)
  if (manifest === null) return false
  const example: TaskRecord = { name, description, base: base.digest, spec: manifest.task, createdAt: new Date().toISOString() }
  const found = await taskOrNull(registry, tenant, name)
  if (found === null) {
    if (!everything && await artifacts.has(artifactDigest(files))) return false
  } else {
    const isServed = (await registry.listVersions(tenant, name)).length > 0
    // One without a version is finished when a start was cut off there, and is somebody else's when it differs.
    if (isServed || !isDeepStrictEqual({ ...found, createdAt: example.createdAt }, example)) return isServed && found.base === base.digest
  }
  const digest = await artifacts.put(files)
  if (found === null) await createTask(registry, tenant, example)
  await registry.publishVersion(tenant, name, {
    digest,
    method: manifest.method,
    numVirtualTokens: manifest.numVirtualTokens,
    metrics: manifest.metrics,
    job: null,
    once: `example-${digest.slice('sha256:'.length)}`,
    alias: PRODUCTION,
    by: 'examples'
  })
  return true
}

/** Unless another process that starts was faster. */
async function createTask (registry: Tasks, tenant: string, task: TaskRecord): Promise<void> {
  try {
    await registry.createTask(tenant, task)
  } catch (error) {
    if (!(error instanceof ServiceError && error.code === 'task_exists')) throw error
  }
}

function manifestFor (files: ArtifactFiles, base: BaseManifest): ReturnType<typeof readArtifact>['manifest'] | null {
  try {
    return readArtifact(files, { base: base.digest, config: base.config }).manifest
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'wrong_base') return null
    throw error
  }
}

async function taskOrNull (registry: Tasks, tenant: string, name: string): Promise<TaskRecord | null> {
  try {
    return await registry.getTask(tenant, name)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'task_not_found') return null
    throw error
  }
}
