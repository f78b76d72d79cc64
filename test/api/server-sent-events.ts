import type { JobEvent } from '../../src/training/job.js'

export interface ReceivedEvent<Name extends string, Data> { readonly id: string | null, readonly event: Name, readonly data: Data }

/** An event of a training job. */
export type ReceivedJobEvent = ReceivedEvent<JobEvent['type'], JobEvent>

/** The events of a response as they arrive; comments are skipped. */
export async function * receivedEvents<Event extends ReceivedEvent<string, unknown>> (response: Response): AsyncGenerator<Event, undefined> {
  if (response.body === null) throw new Error('no body')
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of response.body) {
    rest += decoder.decode(chunk as Uint8Array, { stream: true })
    const blocks = rest.split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = new Map(block.split('\n').filter(line => !line.startsWith(':')).map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
      const event = fields.get('event')
      if (event !== undefined) yield { id: fields.get('id') ?? null, event, data: JSON.parse(fields.get('data') ?? 'null') } as Event
    }
  }
}
