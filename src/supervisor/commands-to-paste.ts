import type { ExampleTask } from '../first-start/example-prompts.js'

/** Three `curl` commands that work when pasted into the terminal of the user who started the service. */
export function commandsToPaste (url: string, keyFile: string, base: { readonly name: string, readonly hasChatTemplate: boolean }, examples: readonly ExampleTask[]): string[] {
  const key = `-H "Authorization: Bearer $(cat ${shellQuoted(keyFile)})"`
  const infer = (task: string, body: object): string =>
    `curl -s ${url}/v1/tasks/${task}/infer ${key} -H 'Content-Type: application/json' -d ${shellQuoted(JSON.stringify(body))}`
  return [
    ...examples.map(({ name, example_input: input }) => infer(name, { input })),
    infer(base.name, { input: 'Name three rivers of Europe.', max_tokens: 40, ...base.hasChatTemplate ? { chat: true } : {} }),
    `curl -s ${url}/v1/bases ${key}`,
    `curl -s ${url}/v1/tasks ${key}`
  ].slice(0, 3)
}

function shellQuoted (text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
