import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { after, before, beforeEach, suite, test } from 'node:test'
import { type CommandResult, environment, permafrost } from '../support/service.js'

suite('permafrost infer', () => {
  let home: string
  let server: Server
  let answer: object
  let asked: Array<{ url: string | undefined, body: unknown }>
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'permafrost-cli-'))
    server = createServer(async (request, response) => {
      asked.push({ url: request.url, body: await json(request) })
      response.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(async () => {
    server.close()
    await rm(home, { recursive: true, force: true })
  })
  beforeEach(() => { asked = [] })

  async function infer (args: string[], stdin = ''): Promise<CommandResult> {
    const settings = { PERMAFROST_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, PERMAFROST_API_KEY: 'pf_key' }
    return await permafrost(environment(home, settings), ['infer', ...args], { stdin })
  }

  test('sends every option as it was given, and no other', async () => {
    answer = { text: 'fine' }
    const options = [
      '--max-tokens', '9', '--temperature', '0.5', '--top-p', '0.9', '--top-k', '40', '--min-p', '0.1', '--repetition-penalty', '1.2', '--presence-penalty=-0.5',
      '--frequency-penalty', '0.3', '--seed', '7', '--n', '3', '--stop', 'a', '--stop', 'b', '--logprobs', '2', '--ensemble', '3,5,7'
    ]
    assert.deepEqual(await infer(['writer', 'hello', ...options]), { code: 0, stdout: 'fine\n', stderr: '' })
    await infer(['writer', 'hello', '--num-beams', '4', '--length-penalty', '0', '--early-stopping', 'never'])
    await infer(['writer', 'hello', '--num-beams', '4', '--early-stopping', 'true'])
    await infer(['writer', 'hello'])
    assert.deepEqual(asked, [
      {
        input: 'hello', max_tokens: 9, temperature: 0.5, top_p: 0.9, top_k: 40, min_p: 0.1, repetition_penalty: 1.2, presence_penalty: -0.5,
        frequency_penalty: 0.3, seed: 7, n: 3, stop: ['a', 'b'], logprobs: 2, ensemble: [3, 5, 7]
      },
      { input: 'hello', num_beams: 4, length_penalty: 0, early_stopping: 'never' },
      { input: 'hello', num_beams: 4, early_stopping: true },
      { input: 'hello' }
    ].map(body => ({ url: '/v1/tasks/writer/infer', body })))
  })

  test('prints each of several answers, and who gave them for each line of a file', async () => {
    answer = { choices: [{ text: 'one' }, { text: 'two' }] }
    assert.equal((await infer(['writer', 'hello', '--n', '2', '--temperature', '1'])).stdout, 'one\ntwo\n')
    const ensemble = [{ version: 1, digest: 'sha256:1' }, { version: 2, digest: 'sha256:2' }]
    answer = { version: null, digest: null, ensemble, results: [{ label: 'frog' }] }
    const { stdout } = await infer(['things', '-', '--ensemble', '1,2'], '{"input": "green", "row": 4}\n')
    assert.deepEqual(JSON.parse(stdout), { input: 'green', row: 4, label: 'frog', version: null, digest: null, ensemble })
  })

  test('a wrong option is exit code 2 and asks nobody', async () => {
    for (const [options, message] of [
      [['--early-stopping', 'maybe'], /^--early-stopping takes true, false or never, not "maybe"/],
      [['--ensemble', '3,x'], /^--ensemble takes a number, not "x"/],
      [['--ensemble', ''], /^--ensemble takes a number, not ""/]
    ] as const) {
      const { code, stderr } = await infer(['writer', 'hello', ...options])
      assert.equal(code, 2)
      assert.match(stderr, message)
    }
    assert.deepEqual(asked, [])
  })
})
