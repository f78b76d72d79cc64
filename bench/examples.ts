/**
 * `npm run examples`: makes the prompts that the project ships, `examples/prompts`, with the project's own trainer on
 * the default base, from the data in `examples`. Prints how well each does on its test rows.
 */
import { spawn } from 'node:child_process'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadConfig } from '../src/config.js'
import { isDigest } from '../src/digest.js'
import { PROJECT_ROOT } from '../src/project.js'
import { openStores } from '../src/registry/store/open-stores.js'
import { acquireDefaultModel } from '../src/supervisor/base-model.js'
import { EXAMPLE_TASK_FILE, type ExampleTask } from '../src/first-start/example-prompts.js'
import { type BenchService, startBenchService } from './service.js'

/** `data` is a folder of `examples`; the prompt is under its licence. */
interface Example { readonly task: ExampleTask, readonly data: string }

const EXAMPLES: readonly Example[] = [
  {
    task: {
      name: 'intent-router',
      description: 'What a voice assistant is asked to do, one of seven intents (trained on 1,000 rows of SNIPS, CC0 1.0)',
      example_input: 'will it rain in Lisbon tomorrow'
    },
    data: 'snips'
  },
  {
    task: {
      name: 'table-to-text',
      description: 'A restaurant\'s data as a sentence (trained on 500 rows of the E2E NLG dataset, CC BY-SA 4.0)',
      example_input: 'name : The Blue Door | Type : pub | food : Italian | price : cheap | area : riverside | family friendly : yes'
    },
    data: 'e2e'
  }
]

const MAIN = join(import.meta.dirname, '../src/cli/main.js')

async function permafrost (service: BenchService, ...args: string[]): Promise<void> {
  const env = { ...process.env, PERMAFROST_HOME: service.home, PERMAFROST_URL: service.url, PERMAFROST_API_KEY: service.key }
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: 'inherit', env })
  const code = await new Promise(resolve => child.once('close', resolve))
  if (code !== 0) throw new Error(`permafrost ${args.join(' ')} ended with exit code ${String(code)}`)
}

/** Write the newest version's artifact where the project ships it. */
async function ship (service: BenchService, { task, data }: Example): Promise<void> {
  const { data: versions } = await service.client.get<{ data: Array<{ version: number, digest: string }> }>(`/v1/tasks/${task.name}/versions`)
  const newest = versions.reduce((a, b) => a.version > b.version ? a : b)
  if (!isDigest(newest.digest)) throw new Error(`internal: ${newest.digest} is no digest`)
  const { artifacts } = await openStores(loadConfig({ PERMAFROST_HOME: service.home }))
  const folder = join(PROJECT_ROOT, 'examples', 'prompts', task.name)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  for (const [name, bytes] of await artifacts.get(newest.digest)) await writeFile(join(folder, name), bytes)
  await writeFile(join(folder, EXAMPLE_TASK_FILE), `${JSON.stringify(task, null, 2)}\n`)
  await copyFile(join(PROJECT_ROOT, 'examples', data, 'LICENSE'), join(folder, 'LICENSE'))
  console.log(`${task.name}: ${newest.digest} -> ${folder}`)
}

const config = loadConfig(process.env)
const model = await acquireDefaultModel(config, line => console.log(line))
const service = await startBenchService(model)
try {
  for (const example of EXAMPLES) {
    const data = (split: string): string => join(PROJECT_ROOT, 'examples', example.data, `${split}.jsonl`)
    // The one that is shipped now was registered at this first start.
    const shipped = await service.client.get(`/v1/tasks/${example.task.name}`).then(() => true, () => false)
    if (shipped) await service.client.delete(`/v1/tasks/${example.task.name}`)
    await permafrost(service, 'train', data('train'), '--task', example.task.name, '--watch')
    await permafrost(service, 'eval', example.task.name, data('test'))
    await ship(service, example)
  }
} finally {
  await service.stop()
}
