import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ConfigError } from '../../src/config.js'
import { advertisedUrl, listenAddress, replicaUrls } from '../../src/inference/client-address.js'

const PERMAFROST_HOME = '/home/permafrost'
const INFERENCE_SECRET = 'a secret of theirs'
const BAD = ['http://inference', 'https://inference:1', 'http://inference:1/path', 'unix:relative', 'inference:1']

const names = (setting: string) => (error: unknown): boolean => error instanceof ConfigError && error.message.includes(`${setting}: `)

suite('where an inference process listens', () => {
  test('is a socket under the home folder unless told otherwise', () => {
    assert.deepEqual(listenAddress({ PERMAFROST_HOME }), { socketPath: '/home/permafrost/run/inference.sock' })
    assert.deepEqual(listenAddress({ PERMAFROST_HOME, INFERENCE_LISTEN: 'unix:/tmp/x.sock' }), { socketPath: '/tmp/x.sock' })
    assert.deepEqual(listenAddress({ PERMAFROST_HOME, INFERENCE_SECRET, INFERENCE_LISTEN: 'http://0.0.0.0:9000' }), { host: '0.0.0.0', port: 9000 })
    assert.deepEqual(listenAddress({ PERMAFROST_HOME, INFERENCE_SECRET, INFERENCE_LISTEN: 'http://[::]:0' }), { host: '::', port: 0 })
  })

  test('must name a port and nothing more, and on TCP needs a secret', () => {
    for (const url of BAD) assert.throws(() => listenAddress({ PERMAFROST_HOME, INFERENCE_SECRET, INFERENCE_LISTEN: url }), names('INFERENCE_LISTEN'), url)
    for (const url of BAD) assert.throws(() => listenAddress({ PERMAFROST_HOME, INFERENCE_ADVERTISE: url }), names('INFERENCE_ADVERTISE'), url)
    assert.throws(() => listenAddress({ PERMAFROST_HOME, INFERENCE_LISTEN: 'http://127.0.0.1:9000' }), names('INFERENCE_SECRET'))
  })
})

suite('where an inference process is found', () => {
  test('is what it was told, else where it listens, else its address on the way to Redis', () => {
    const everywhere = { host: '0.0.0.0', port: 9000 }
    assert.equal(advertisedUrl({ INFERENCE_ADVERTISE: 'http://me:1' }, everywhere, '10.0.0.5'), 'http://me:1')
    assert.equal(advertisedUrl({}, { socketPath: '/tmp/x.sock' }, '10.0.0.5'), 'unix:/tmp/x.sock')
    assert.equal(advertisedUrl({}, { host: '10.0.0.9', port: 9000 }, '10.0.0.5'), 'http://10.0.0.9:9000')
    assert.equal(advertisedUrl({}, everywhere, '10.0.0.5'), 'http://10.0.0.5:9000')
    assert.equal(advertisedUrl({}, { host: '::', port: 9000 }, 'fd00::5'), 'http://[fd00::5]:9000')
    assert.equal(advertisedUrl({}, everywhere, undefined), 'http://127.0.0.1:9000')
  })

  test('may be listed for the api', () => {
    assert.equal(replicaUrls({}), null)
    assert.deepEqual(replicaUrls({ INFERENCE_URL: 'unix:/tmp/x.sock' }), ['unix:/tmp/x.sock'])
    assert.deepEqual(replicaUrls({ INFERENCE_SECRET, INFERENCE_URL: 'http://a:1, http://b:2' }), ['http://a:1', 'http://b:2'])
    for (const url of BAD) assert.throws(() => replicaUrls({ INFERENCE_SECRET, INFERENCE_URL: `http://a:1,${url}` }), names('INFERENCE_URL'), url)
    assert.throws(() => replicaUrls({ INFERENCE_URL: 'http://a:1' }), names('INFERENCE_SECRET'))
  })
})
