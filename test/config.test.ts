import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { ConfigError, loadConfig } from '../src/config.js'

suite('configuration', () => {
  let folder: string
  before(async () => { folder = await mkdtemp(join(tmpdir(), 'permafrost-config-')) })
  after(async () => { await rm(folder, { recursive: true, force: true }) })

  test('a secret may stand in a file; the variable itself goes before', async () => {
    const file = join(folder, 'secret')
    await writeFile(file, 'from the mounted file\n')
    assert.equal(loadConfig({ INFERENCE_SECRET_FILE: file }).INFERENCE_SECRET, 'from the mounted file')
    assert.equal(loadConfig({ INFERENCE_SECRET_FILE: file, INFERENCE_SECRET: 'from the variable' }).INFERENCE_SECRET, 'from the variable')
    assert.equal(loadConfig({ INFERENCE_SECRET_FILE: file, INFERENCE_SECRET: '' }).INFERENCE_SECRET, 'from the mounted file')
    assert.throws(() => loadConfig({ INFERENCE_SECRET_FILE: join(folder, 'absent') }), (error: unknown) => error instanceof ConfigError && /INFERENCE_SECRET_FILE: ENOENT/.test(error.message))
    await writeFile(join(folder, 'empty'), '\n')
    assert.equal(loadConfig({ INFERENCE_SECRET_FILE: join(folder, 'empty') }).INFERENCE_SECRET, undefined)
    // Only secrets: a setting that is none has no such variable.
    assert.equal(loadConfig({ LOG_LEVEL_FILE: file }).LOG_LEVEL, 'info')
  })

  test('every bad variable is named, and no secret is shown', () => {
    assert.throws(() => loadConfig({ PORT: 'high', KV_SLOTS: '0', INFERENCE_SECRET: 'too short', FIRST_API_KEY: 'pf_chosen by hand' }), (error: unknown) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual(error.message.split('\n').map(line => line.trim().split(':')[0]).sort(), ['FIRST_API_KEY', 'INFERENCE_SECRET', 'KV_SLOTS', 'PORT', 'bad configuration'])
      assert.doesNotMatch(error.message, /too short|by hand/)
      return true
    })
  })

  test('the password of Redis is put into its URL, whatever it is made of, and gives the secret of the inference processes', () => {
    const { REDIS_URL: url } = loadConfig({ REDIS_URL: 'redis://cache:6379/1', REDIS_PASSWORD: 'p@ss/w%rd:?#' })
    const parsed = new URL(url!)
    assert.deepEqual([decodeURIComponent(parsed.password), parsed.host, parsed.pathname], ['p@ss/w%rd:?#', 'cache:6379', '/1'])
    const [one, again, other] = ['a', 'a', 'b'].map(password => loadConfig({ REDIS_URL: 'redis://cache:6379', REDIS_PASSWORD: password }).INFERENCE_SECRET)
    assert.match(one!, /^[0-9a-f]{64}$/)
    assert.equal(one, again)
    assert.notEqual(one, other)
    assert.throws(() => loadConfig({ REDIS_URL: '/run/redis.sock', REDIS_PASSWORD: 'secret' }), /REDIS_URL/)
  })
})
