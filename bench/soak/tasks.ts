/** Tasks whose versions change while clients ask them, and what each version answers. */
import type { Digest } from '../../src/digest.js'
import type { TaskSpec } from '../../src/prompt/task-spec.js'
import type { BenchService } from '../service.js'
import type { StoredTasks } from '../stored-tasks.js'
import { type Answer, ask, type InferBody } from './ask.js'
import { Production } from './production.js'

const INPUTS = ['will it rain in Lisbon tomorrow', 'add this song to my party list', 'The Blue Door is a pub near the river', 'book a table for two at eight']
const SAMPLED = { temperature: 0.9, top_p: 0.95, seed: 7 }

/** The requests of which every version's answers are known. */
const BODIES: Readonly<Record<TaskSpec['kind'], readonly InferBody[]>> = {
  classification: INPUTS.map(input => ({ input, scores: true })),
  generation: INPUTS.map((input, index) => ({ input, max_tokens: 12 + 12 * index, ...index % 2 === 0 ? {} : SAMPLED }))
}

export interface AskedTask { readonly name: string, readonly kind: TaskSpec['kind'], readonly production: Production }

/** What a version is asked for once, right after its publication, before any client may get it. */
export class ChangingTasks {
  readonly tasks: AskedTask[] = []
  publications = 0
  rollbacks = 0
  readonly #service: BenchService
  readonly #stored: StoredTasks
  readonly #answers = new Map<string, string>()
  #prompts = 0

  constructor (service: BenchService, stored: StoredTasks) {
    this.#service = service
    this.#stored = stored
  }

  /** Version 1 is production at once: nobody asks yet. */
  async add (name: string, kind: TaskSpec['kind']): Promise<void> {
    const prompt = this.#prompts++
    await this.#stored.makePrompt(prompt, kind)
    await this.#stored.add(name, prompt)
    await this.addExisting(name, kind)
  }

  /** One that the service has, and that does not change. */
  async addExisting (name: string, kind: TaskSpec['kind']): Promise<void> {
    const production = new Production()
    production.moving(await this.#learn(name, kind), 0)
    this.tasks.push({ name, kind, production })
  }

  /** The next version, with a prompt that never was. */
  async publish ({ name, kind, production }: AskedTask): Promise<void> {
    const prompt = this.#prompts++
    await this.#stored.makePrompt(prompt, kind)
    const { number } = await this.#stored.publish(name, prompt, null)
    production.moving(await this.#learn(`${name}@${number}`, kind), performance.now())
    await this.#service.client.put(`/v1/tasks/${name}/aliases/production`, { version: number })
    production.moved(performance.now())
    this.publications++
  }

  /** To the version that was production before. */
  async rollBack ({ name, production }: AskedTask): Promise<void> {
    const { client } = this.#service
    const { data: [last] } = await client.get<{ data: ReadonlyArray<{ from: number | null }> }>(`/v1/tasks/${name}/aliases/production/history`)
    const { digest } = await client.get<{ digest: Digest }>(`/v1/tasks/${name}/versions/${last!.from}`)
    production.moving(digest, performance.now())
    await client.post(`/v1/tasks/${name}/aliases/production/rollback`)
    production.moved(performance.now())
    this.rollbacks++
  }

  bodies ({ kind }: AskedTask): readonly InferBody[] {
    return BODIES[kind]
  }

  /** Null, or what is wrong with an answer to `body` that was asked for and answered at these times of `performance.now`. */
  fault ({ name, production }: AskedTask, body: InferBody, { digest, said }: Answer, asked: number, answered: number): 'stale' | 'wrong' | null {
    if (!production.was(digest, asked, answered)) return 'stale'
    return this.#answers.get(keyOf(name, digest, body)) === said ? null : 'wrong'
  }

  async #learn (target: string, kind: TaskSpec['kind']): Promise<Digest> {
    const name = target.split('@')[0]!
    const answers = await Promise.all(BODIES[kind].map(async body => ({ body, ...await ask(this.#service, target, body) })))
    for (const { body, digest, said } of answers) this.#answers.set(keyOf(name, digest, body), said)
    return answers[0]!.digest
  }
}

function keyOf (name: string, digest: Digest, body: InferBody): string {
  return `${name} ${digest} ${JSON.stringify(body)}`
}
