export interface ReceivedEvent { readonly id: string | null, readonly event: string, readonly data: any } // oxlint-disable-line typescript/no-explicit-any -- tests read JSON

/** The events of a response as they arrive; comments are skipped. */
export async function * receivedEvents (response: Response): AsyncGenerator<ReceivedEvent> {
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
      if (event !== undefined) yield { id: fields.get('id') ?? null, event, data: JSON.parse(fields.get('data') ?? 'null') }
    }
  }
}
