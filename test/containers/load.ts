/** Clients that never stop asking, and what they got. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Question { readonly path: string, readonly body: Readonly<Record<string, unknown>> }

type Answer =
  | { readonly kind: 'answer' | 'cut' | 'failure', readonly text: string }
  | { readonly kind: 'refusal', readonly retryAfter: number, readonly text: string }

const CLIENTS = 12
const SHOWN = 10

export class Load {
  readonly #url: string
  readonly #key: string
  readonly #questions: readonly Question[]
  /** Answers of an undisturbed service, in the order of the questions. */
  #expected: readonly string[] = []
  #next = 0
  /** Questions that got their answer, right or wrong. */
  answered = 0
  /** 503 with Retry-After: the client asked again. */
  refused = 0
  /** Streams that had begun and broke: what has gone out cannot become a 503 any more, so the client asks again. */
  cut = 0
  readonly wrong: string[] = []
  /** Everything else: another status, a broken connection. */
  readonly failures: string[] = []

  constructor (url: string, key: string, questions: readonly Question[]) {
    this.#url = url
    this.#key = key
    this.#questions = questions
  }

  /** What the answers have to be from now on. @throws Error when a question gets no answer */
  async learn (): Promise<void> {
    const answers: string[] = []
    for (const question of this.#questions) {
      const answer = await this.#ask(question)
      if (answer.kind !== 'answer') throw new Error(`${question.path}: ${answer.text}`)
      answers.push(answer.text)
    }
    this.#expected = answers
  }

  /** Ask until `done` resolves and at least so many questions were answered. */
  async run (done: Promise<unknown>, atLeast: number): Promise<void> {
    let over = false
    void done.then(() => { over = true }, () => { over = true })
    const enough = (): boolean => over && this.answered >= atLeast
    await Promise.all(Array.from({ length: CLIENTS }, async () => {
      while (!enough()) await this.#askNext()
    }))
    await done
  }

  get counts (): string {
    const shown = [...this.wrong, ...this.failures].slice(0, SHOWN).map(line => `\n    ${line}`).join('')
    return `${this.answered} answered, ${this.wrong.length} wrong, ${this.refused} refused with 503 and Retry-After, ${this.cut} streams cut, ${this.failures.length} failed otherwise${shown}`
  }

  async #askNext (): Promise<void> {
    const index = this.#next++ % this.#questions.length
    const question = this.#questions[index]!
    const answer = await this.#ask(question)
    if (answer.kind === 'answer') {
      this.answered++
      if (answer.text !== this.#expected[index]) this.wrong.push(`${question.path} ${JSON.stringify(question.body)}: ${answer.text.slice(0, 200)}, not ${this.#expected[index]!.slice(0, 200)}`)
    } else if (answer.kind === 'refusal') {
      this.refused++
      await sleep(1000 * answer.retryAfter)
    } else if (answer.kind === 'cut') {
      this.cut++
    } else {
      this.failures.push(`${question.path}: ${answer.text}`)
    }
  }

  async #ask ({ path, body }: Question): Promise<Answer> {
    let streams = false
    try {
      const response = await fetch(`${this.#url}${path}`, { method: 'POST', headers: { authorization: `Bearer ${this.#key}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
      streams = response.ok && body['stream'] === true
      const text = await response.text()
      const retryAfter = Number(response.headers.get('retry-after'))
      if (response.status === 503 && retryAfter > 0) return { kind: 'refusal', retryAfter, text }
      if (response.status !== 200) return { kind: 'failure', text: `${response.status} ${text.slice(0, 200)}` }
      return streams ? streamed(text) : { kind: 'answer', text: essence(JSON.parse(text) as Readonly<Record<string, unknown>>) }
    } catch (error) {
      const { message, cause } = error as Error
      if (streams) return { kind: 'cut', text: message }
      return { kind: 'failure', text: `${message} (${cause instanceof Error ? cause.message : ''})` }
    }
  }
}

/** What has to be equal: not the identity of the request, nor how long it took. */
function essence ({ id: _id, timing_ms: _timing, ...rest }: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(rest)
}

/** The text of a stream that came to its end. */
function streamed (events: string): Answer {
  let text = ''
  for (const block of events.split('\n\n')) {
    const name = /^event: (.*)$/m.exec(block)?.[1]
    const data = JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '{}') as Readonly<Record<string, unknown>>
    if (name === 'text') text += String(data['text'])
    if (name === 'finished') return { kind: 'answer', text: JSON.stringify([text, data['finish_reason']]) }
    if (name === 'error') return { kind: 'failure', text: JSON.stringify(data) }
  }
  return { kind: 'cut', text: `after ${text.length} characters` }
}
