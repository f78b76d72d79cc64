import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { Ajv } from 'ajv'
import { parse } from 'yaml'
import { PROJECT_ROOT, VERSION } from '../../src/project.js'
import { interpolate, readComposeFile } from './compose-file.js'

const FILE = join(PROJECT_ROOT, 'docker-compose.yml')
/** The schema of the Compose specification, as the linter of Compose files carries it. */
const SCHEMA = join(PROJECT_ROOT, 'node_modules', 'dclint', 'schemas', 'compose.schema.json')
const ENVIRONMENT = { REDIS_PASSWORD: 'a long random word' }

/** Null, or what the schema says against it. */
function complaint (file: object): string | null {
  const ajv = new Ajv({ strict: false, validateFormats: false, logger: false })
  const { $schema: _dialect, ...schema } = JSON.parse(readFileSync(SCHEMA, 'utf8')) as Record<string, unknown>
  return ajv.validate(schema, file) ? null : ajv.errorsText()
}

function parsed (): { services: Record<string, Record<string, unknown>> } {
  return parse(readFileSync(FILE, 'utf8'), { merge: true }) as ReturnType<typeof parsed>
}

suite('docker-compose.yml', () => {
  test('is valid by the schema of the Compose specification', () => {
    assert.equal(complaint(parsed()), null)
    const wrong = parsed()
    wrong.services['api']!['read_onyl'] = true
    assert.match(complaint(wrong)!, /services\/api must NOT have additional properties/)
  })

  const plugin = spawnSync('docker', ['compose', 'version']).status === 0
  test('is valid for docker compose', { skip: plugin ? false : 'no docker compose on this machine' }, () => {
    const { status, stderr } = spawnSync('docker', ['compose', '--file', FILE, 'config', '--quiet'], { encoding: 'utf8', env: { ...process.env, ...ENVIRONMENT } })
    assert.equal(status, 0, stderr)
  })

  test('needs a password and nothing else', () => {
    assert.throws(() => readComposeFile(FILE, {}), /needs REDIS_PASSWORD/)
    readComposeFile(FILE, ENVIRONMENT)
  })

  test('publishes one port, and gives no container a capability, a writable root or the right to more privileges', () => {
    const { services } = readComposeFile(FILE, ENVIRONMENT)
    assert.deepEqual([...services.keys()].sort(), ['api', 'base', 'front', 'inference', 'redis', 'worker'])
    assert.deepEqual([...services.values()].flatMap(({ name, ports }) => ports.map(port => `${name} ${port}`)), ['front 8080:8080'])
    for (const { name, readOnly, dropsAllCapabilities } of services.values()) assert.deepEqual([name, readOnly, dropsAllCapabilities], [name, true, true])
    for (const [name, service] of Object.entries(parsed().services)) assert.deepEqual([name, service['security_opt']], [name, ['no-new-privileges:true']])
  })

  test('the roles are one image, of this version, and the Dockerfile says so too', () => {
    const { services } = readComposeFile(FILE, ENVIRONMENT)
    for (const role of ['api', 'base', 'inference', 'worker']) assert.equal(services.get(role)!.image, `permafrost:${VERSION}`)
    assert.match(readFileSync(join(PROJECT_ROOT, 'Dockerfile'), 'utf8'), new RegExp(`^ARG VERSION=${VERSION.replaceAll('.', '\\.')}$`, 'm'))
    assert.equal(services.get('api')!.buildArguments!['BASE_IMAGE'], /^ARG BASE_IMAGE=(.*)$/m.exec(readFileSync(join(PROJECT_ROOT, 'Dockerfile'), 'utf8'))![1])
  })

  test('who needs what waits until it is healthy, or done', () => {
    const { services } = readComposeFile(FILE, ENVIRONMENT)
    assert.deepEqual(services.get('api')!.dependsOn, { redis: 'service_healthy', base: 'service_completed_successfully', inference: 'service_healthy' })
    assert.deepEqual(services.get('front')!.dependsOn, { api: 'service_healthy' })
    for (const [name, { dependsOn }] of services) {
      for (const [other, condition] of Object.entries(dependsOn)) {
        assert.equal(condition === 'service_healthy' && services.get(other)!.healthcheck === 'none', false, `${name} waits for the health of ${other}, which has no check`)
      }
    }
  })

  test('variables are put in as Compose does it', () => {
    assert.equal(interpolate('a ${X} b', { X: '1' }), 'a 1 b')
    assert.equal(interpolate('${X:-two}', {}), 'two')
    assert.equal(interpolate('${X:-two}', { X: '' }), 'two')
    assert.equal(interpolate('${X}', {}), '')
    assert.equal(interpolate('$$X and $${Y}', { X: '1', Y: '2' }), '$X and ${Y}')
    assert.throws(() => interpolate('${X:?why}', {}), /X: why/)
  })
})
