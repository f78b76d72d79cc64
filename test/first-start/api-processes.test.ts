import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach, before, suite, test } from 'node:test'
import { BASE_FILES } from '../../src/model/base.js'
import { newSecret } from '../../src/registry/api-keys.js'
import { base } from '../api/testbed.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { testTokenizerJson } from '../support/tokenizer.js'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js')

interface Started { readonly url: string, readonly log: string }

async function keysAt ({ url }: Started, secret: string): Promise<{ status: number, names: string[] }> {
  const response = await fetch(`${url}/v1/keys`, { headers: { authorization: `Bearer ${secret}` } })
  const { data = [] } = await response.json() as { data?: Array<{ name: string }> }
  return { status: response.status, names: data.map(({ name }) => name) }
}

suite('api processes on a new registry', () => {
  let folder: string
  let redis: RedisServer
  let running: ChildProcess[] = []
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-first-start-'))
    await mkdir(join(folder, 'base'))
    await writeFile(join(folder, 'base', BASE_FILES.manifest), JSON.stringify({ ...base, hasChatTemplate: false }))
    await writeFile(join(folder, 'base', BASE_FILES.tokenizer), JSON.stringify(testTokenizerJson()))
    redis = await startRedis()
  })
  afterEach(async () => {
    const children = running.splice(0)
    const ended = children.map(async child => { if (child.exitCode === null && child.signalCode === null) await once(child, 'exit') })
    for (const child of children) child.kill('SIGKILL')
    await Promise.all(ended)
  })
  after(async () => {
    await redis.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** Resolves when it listens. */
  async function startApi (settings: Record<string, string> = {}): Promise<Started> {
    const child = spawn(process.execPath, [MAIN, 'api'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, PORT: '0', PERMAFROST_HOME: folder, BASE_FOLDER: join(folder, 'base'), REDIS_URL: redis.url, ...settings }
    })
    running.push(child)
    let log = ''
    let url: string | undefined
    for await (const line of createInterface({ input: child.stdout })) {
      log += `${line}\n`
      const entry = JSON.parse(line) as { msg: string, url?: string }
      if (entry.msg === 'api listens') {
        url = entry.url
        break
      }
    }
    child.stdout.resume()
    if (url !== undefined) return { url, log }
    throw new Error(`the api ended before it listened\n${log}`)
  }

  test('say how a key is made, then take the one of FIRST_API_KEY, together once, and never show it', async () => {
    assert.match((await startApi()).log, /tenant default has no API key; \\"permafrost keys create --tenant default\\" makes one/)

    const secret = newSecret()
    const both = await Promise.all([startApi({ FIRST_API_KEY: secret }), startApi({ FIRST_API_KEY: secret })])
    assert.equal(both.filter(({ log }) => log.includes('the key of FIRST_API_KEY is the first one')).length, 1)
    for (const api of both) {
      assert.deepEqual(await keysAt(api, secret), { status: 200, names: ['first key'] })
      assert.doesNotMatch(api.log, /has no API key/)
      assert.ok(!api.log.includes(secret))
    }

    const later = newSecret()
    assert.equal((await keysAt(await startApi({ FIRST_API_KEY: later }), later)).status, 401)
  })
})
