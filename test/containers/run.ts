/**
 * `npm run test:containers`: the image built, the roles of `docker-compose.yml` started from it, trained, asked, killed
 * and replaced, without a container engine. Says why and ends well where it can not run.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'
import { DEFAULT_MODEL } from '../../src/supervisor/model-sources/known-file.js'
import { homePaths } from '../../src/supervisor/home.js'
import { startService } from '../support/service.js'
import { sharedFolder } from '../support/shared.js'
import { Buildah } from './buildah.js'
import { readComposeFile } from './compose-file.js'
import { checkConfinement } from './confinement.js'
import { killInTurn, replaceInTurn } from './disturbances.js'
import { auditPackages, checkImage } from './image-check.js'
import { buildBase, buildImage, buildStandIn, IMAGE } from './images.js'
import { Network } from './network.js'
import { Project } from './project.js'
import { compare, trainAndAsk, type SnipsRun } from './snips.js'
import { prepareTools } from './tools.js'
import { readFile } from 'node:fs/promises'

const COMPOSE_FILE = join(PROJECT_ROOT, 'docker-compose.yml')
const TINY = sharedFolder('models', 'stories260K')
const HOME_INSIDE = '/var/lib/permafrost'

const results: string[] = []
const say = (line: string): void => { console.log(line) }

function result (line: string): void {
  results.push(line)
  say(`  ${line}`)
}

async function phase<T> (name: string, work: () => Promise<T>): Promise<T> {
  say(`\n== ${name}`)
  const begun = performance.now()
  const value = await work()
  result(`${name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
  return value
}

/** The compose file brought up in a folder of its own, and down again whatever happens. */
async function composed (buildah: Buildah, folder: string, id: string, variables: Readonly<Record<string, string>>, scale: Readonly<Record<string, number>>, prepare: (project: Project) => Promise<void>, work: (project: Project, url: string, key: string) => Promise<void>): Promise<void> {
  const network = new Network(folder)
  const file = readComposeFile(COMPOSE_FILE, { REDIS_PASSWORD: 'a-long-random-word-of-this-test', ...variables })
  const project = new Project(buildah, file, network, join(folder, id))
  await network.open()
  try {
    await prepare(project)
    await phase('docker compose up', async () => await project.up(scale))
    const { code, stdout, stderr } = await project.runOnce('api', ['keys', 'create', '--json'])
    if (code !== 0) throw new Error(`keys create ended with ${String(code)}: ${stderr}`)
    const { secret } = JSON.parse(stdout) as { secret: string }
    await work(project, `http://${project.address('front')}:8080`, secret)
    await phase('docker compose down', async () => await project.down())
  } finally {
    await project.kill()
    network.close()
  }
}

/** The same with `permafrost start` on this machine. */
async function outside (home: string, settings: Readonly<Record<string, string>>): Promise<SnipsRun> {
  const service = await startService(home, settings)
  try {
    return await trainAndAsk(service.url, (await readFile(homePaths(home).apiKey, 'utf8')).trim(), home)
  } finally {
    await service.stop()
  }
}

async function tinyBase (buildah: Buildah, folder: string, tiny: string): Promise<void> {
  const name = basename(tiny)
  const settings = { MAX_CONTEXT: '512', INFERENCE_THREADS: '1', TRAINING_THREADS: '1' }
  const scale = { api: 2, inference: 2, worker: 2 }
  await composed(buildah, folder, 'pfa', { ...settings, PERMAFROST_BASE: `${HOME_INSIDE}/models/${name}`, LOG_LEVEL: 'info' }, scale, async project => { await project.seed('data', tiny, join('models', name)) }, async (project, url, key) => {
    for (const role of ['api', 'inference', 'worker']) result(await checkConfinement(project.containers(role)[0]!))
    const inside = await phase('snips, 200 rows, tiny model, in containers', async () => await trainAndAsk(url, key, folder))
    const home = join(folder, 'tiny-home')
    const same = await phase('the same outside', async () => await outside(home, { ...settings, PERMAFROST_BASE: tiny }))
    result(compare(inside, same))
    for (const line of await phase('each container killed', async () => await killInTurn(project, url, key, folder, say))) result(line)
    for (const line of await phase('each container replaced', async () => await replaceInTurn(project, url, key, say))) result(line)
  })
}

async function defaultBase (buildah: Buildah, folder: string): Promise<void> {
  await composed(buildah, folder, 'pfb', {}, {}, async () => {}, async (project, url, key) => {
    const inside = await phase('snips, 200 rows, default base, in containers', async () => await trainAndAsk(url, key, folder))
    const home = join(folder, 'default-home')
    mkdirSync(homePaths(home).models, { recursive: true })
    cpSync(join(project.volume('data'), 'models', DEFAULT_MODEL.name), join(homePaths(home).models, DEFAULT_MODEL.name))
    const same = await phase('the same outside', async () => await outside(home, {}))
    result(compare(inside, same))
  })
}

async function main (): Promise<void> {
  const problem = prepareTools(say)
  if (problem !== null) {
    say(`skipped: ${problem}`)
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-containers-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1))
  mkdirSync(join(folder, 'tmp'))
  const buildah = new Buildah(folder)
  await phase('base image: Debian by debootstrap, and Node', async () => await buildBase(buildah))
  const { services } = readComposeFile(COMPOSE_FILE, { REDIS_PASSWORD: 'any' })
  const buildArguments = [...services.values()].find(service => service.buildArguments !== null)?.buildArguments ?? {}
  await phase('the image, from its Dockerfile', async () => await buildImage(buildah, buildArguments))
  await phase('stand-ins for the images of Redis and HAProxy', async () => await buildStandIn(buildah))
  await phase('what the image holds', async () => {
    const { root } = await buildah.from(IMAGE)
    for (const line of checkImage(root, await buildah.inspect(IMAGE))) result(line)
    result(await auditPackages())
  })
  if (TINY === null) result('no folder of models (PERMAFROST_SHARED): the part on the tiny model is left out')
  else await tinyBase(buildah, folder, TINY)
  await defaultBase(buildah, folder)
}

try {
  await main()
} catch (error) {
  console.error(`\n${(error as Error).message}`)
  process.exitCode = 1
} finally {
  say(`\n${results.join('\n')}`)
}
process.exit()
