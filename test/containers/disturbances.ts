/** Every container killed and every role replaced, under load: what is lost, doubled or wrong. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ApiClient } from '../../src/cli/api-client.js'
import { isFinal } from '../service/testbed.js'
import type { JobEvent } from '../../src/training/job.js'
import { Load, type Question } from './load.js'
import type { Project } from './project.js'
import { testInputs, writeTrainingRows } from './snips.js'

const ROLES = ['api', 'inference', 'worker'] as const
const REQUESTS = 10_000
const JOBS = 6
/** A job of some seconds, with a checkpoint now and then, so that a killed worker has something to go on from. */
const RECIPE = { max_steps: 120, batch_size: 8, evaluations: 6 }

interface Job { readonly id: string }
interface Version { readonly number: number, readonly job: string | null }

function questions (base: string): Question[] {
  const inputs = testInputs()
  const labels = inputs.slice(0, 200).map((input): Question => ({ path: '/v1/tasks/snips@1/infer', body: { input, scores: true } }))
  const texts = inputs.slice(200, 260).map((input, i): Question => ({ path: `/v1/tasks/${base}/infer`, body: { input, max_tokens: 16, temperature: i % 3 === 0 ? 0 : 0.8, seed: i, ...i % 2 === 0 ? { stream: true } : {} } }))
  return [...labels, ...texts]
}

/**
 * 10,000 requests and 6 jobs while each container is killed in turn and comes back.
 * @returns lines of numbers. @throws Error for a wrong answer, a lost or doubled job, or a failure that is no 503
 */
export async function killInTurn (project: Project, url: string, key: string, folder: string, say: (line: string) => void): Promise<string[]> {
  const client = new ApiClient(url, key)
  const load = new Load(url, key, questions((await client.get<{ data: Array<{ name: string }> }>('/v1/bases')).data[0]!.name))
  await load.learn()
  const { id: file } = await client.upload<{ id: string }>('/v1/files', readFileSync(writeTrainingRows(folder)), 'application/jsonl')
  const jobs: string[] = []
  const disturb = async (): Promise<void> => {
    for (const role of ROLES) {
      for (const container of project.containers(role)) {
        jobs.push(await postJob(url, key, { task: 'snips', training_file: file, recipe: { ...RECIPE, seed: jobs.length }, publish: { alias: `job-${jobs.length}` } }))
        say(`${container.plan.name} is killed (${load.counts})`)
        const before = load.cut
        await project.killAndComeBack(role, container)
        // Only who holds the client's own connection can break it.
        if (role !== 'api' && load.cut > before) throw new Error(`${load.cut - before} streams cut when ${container.plan.name} was killed`)
      }
    }
    await project.killAndComeBack('redis', project.containers('redis')[0]!)
    for (const job of jobs) await finished(client, job)
  }
  const begun = performance.now()
  await load.run(disturb(), REQUESTS)
  const seconds = (performance.now() - begun) / 1000

  const versions = (await client.get<{ data: Version[] }>('/v1/tasks/snips/versions')).data
  const published = jobs.map(job => versions.filter(version => version.job === job).length)
  const lines = [
    `killed in turn, 2 api, 2 inference, 2 worker, then Redis: ${load.counts} (${seconds.toFixed(0)} s)`,
    `${JOBS} jobs: ${jobs.length} accepted, ${published.filter(count => count === 1).length} with one version, ${published.filter(count => count > 1).length} doubled, ${published.filter(count => count === 0).length} lost`
  ]
  if (load.wrong.length > 0 || load.failures.length > 0 || jobs.length !== JOBS || published.some(count => count !== 1)) throw new Error(lines.join('\n'))
  return lines
}

/** Each role replaced, one container after another, with SIGTERM. @throws Error for any request that fails, also with 503 */
export async function replaceInTurn (project: Project, url: string, key: string, say: (line: string) => void): Promise<string[]> {
  const client = new ApiClient(url, key)
  const load = new Load(url, key, questions((await client.get<{ data: Array<{ name: string }> }>('/v1/bases')).data[0]!.name))
  await load.learn()
  const exits: string[] = []
  const disturb = async (): Promise<void> => {
    for (const role of ROLES) {
      for (const container of project.containers(role)) {
        say(`${container.plan.name} is replaced (${load.counts})`)
        const how = await project.replace(role, container)
        exits.push(`${container.plan.name} ${how}`)
        if (how !== 0) throw new Error(`${container.plan.name} ended with ${how} after SIGTERM`)
      }
    }
  }
  await load.run(disturb(), 1)
  const line = `replaced in turn: ${load.counts}; exit codes: ${exits.join(', ')}`
  if (load.wrong.length + load.failures.length + load.refused + load.cut > 0) throw new Error(line)
  return [line]
}

/** With an Idempotency-Key, as a client does who must not train twice. */
async function postJob (url: string, key: string, body: object): Promise<string> {
  const idempotency = randomUUID()
  for (;;) {
    const response = await fetch(`${url}/v1/training-jobs`, {
      method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'idempotency-key': idempotency }, body: JSON.stringify(body)
    })
    const answer = await response.json() as Job
    if (response.ok) return answer.id
    if (response.headers.get('retry-after') === null) throw new Error(`POST /v1/training-jobs: ${response.status} ${JSON.stringify(answer)}`)
    await new Promise(resolve => setTimeout(resolve, 1000 * Number(response.headers.get('retry-after'))))
  }
}

/** @throws Error when it ends otherwise than with success */
async function finished (client: ApiClient, job: string): Promise<void> {
  for await (const { data } of client.follow(`/v1/training-jobs/${job}/events`, ({ data }) => isFinal(data as JobEvent))) {
    const event = data as JobEvent
    if (event.type === 'state' && isFinal(event) && event.state !== 'succeeded') throw new Error(`job ${job} is ${event.state}: ${event.reason ?? ''}`)
  }
}
