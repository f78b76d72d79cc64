/** The prompts that the project ships, registered like any other version. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
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
type Tasks = Pick<Registry, 'getTask' | 'createTask' | 'listVersions' | 'publishVersion'>

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
 * Register those that belong to this base, once: a task that the operator deleted stays deleted.
 * @param everything also those that were registered before (the registry is new)
 * @returns the example tasks that this tenant can use
 */
export async function registerExamples (prompts: readonly ExamplePrompt[], base: BaseManifest, tenant: string, registry: Tasks, artifacts: Pick<ArtifactStore, 'has' | 'put'>, everything: boolean): Promise<ExampleTask[]> {
  const usable: ExampleTask[] = []
  for (const prompt of prompts) {
    if (await register(prompt, base, tenant, registry, artifacts, everything)) usable.push(prompt.task)
  }
  return usable
}

async function register ({ task, files }: ExamplePrompt, base: BaseManifest, tenant: string, registry: Tasks, artifacts: Pick<ArtifactStore, 'has' | 'put'>, everything: boolean): Promise<boolean> {
  const manifest = manifestFor(files, base)
  if (manifest === null) return false
  const known = await artifacts.has(artifactDigest(files))
  const present = await taskOrNull(registry, tenant, task.name)
  if (present === null && known && !everything) return false
  const digest = await artifacts.put(files)
  if (present === null) {
    await registry.createTask(tenant, { name: task.name, description: task.description, base: base.digest, spec: manifest.task, createdAt: new Date().toISOString() })
  } else if (present.base !== base.digest || (await registry.listVersions(tenant, task.name)).length > 0) {
    return present.base === base.digest
  }
  await registry.publishVersion(tenant, task.name, {
    digest,
    method: manifest.method,
    numVirtualTokens: manifest.numVirtualTokens,
    metrics: manifest.metrics,
    job: null,
    alias: PRODUCTION,
    by: 'examples'
  })
  return true
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
