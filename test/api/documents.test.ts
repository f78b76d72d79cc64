import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { errorTable } from '../../src/api/error-table.js'
import { PROJECT_ROOT } from '../../src/project.js'
import { METHODS } from '../../src/prompt/methods.js'
import { TASK_KINDS } from '../../src/prompt/task-spec.js'
import { OPTIMIZERS, RecipeRequestSchema } from '../../src/training/job.js'
import { completeRecipe } from '../../src/training/recipe.js'
import { openTestbed, type Testbed } from './testbed.js'

suite('documents', () => {
  let bed: Testbed
  before(async () => { bed = await openTestbed() })
  after(async () => await bed.close())

  async function openApi () {
    const { statusCode, body } = await bed.app.inject({ url: '/openapi.json' })
    assert.equal(statusCode, 200)
    return JSON.parse(body)
  }

  test('docs/errors.md is the table in the code', () => {
    const path = join(PROJECT_ROOT, 'docs', 'errors.md')
    if (process.env.UPDATE_DOCS === '1') writeFileSync(path, errorTable())
    assert.equal(readFileSync(path, 'utf8'), errorTable())
  })

  test('docs/api.md has every route', async () => {
    const page = readFileSync(join(PROJECT_ROOT, 'docs', 'api.md'), 'utf8')
    const { paths } = await openApi()
    for (const [path, operations] of Object.entries(paths as Record<string, object>)) {
      for (const method of Object.keys(operations)) {
        assert.ok(page.includes(`\`${method.toUpperCase()} ${path}\``), `docs/api.md lacks ${method.toUpperCase()} ${path}`)
      }
    }
  })

  test('docs/api.md has every hyper-parameter with its defaults', () => {
    const page = readFileSync(join(PROJECT_ROOT, 'docs', 'api.md'), 'utf8')
    const rowOf = (field: string): string => page.split('\n').find(line => line.startsWith('| ') && (line.split('|')[1] ?? '').includes(`\`${field}\``)) ?? assert.fail(`docs/api.md lacks ${field}`)
    for (const kind of TASK_KINDS) {
      for (const type of METHODS) {
        for (const optimizer of OPTIMIZERS) {
          const { recipe } = completeRecipe({ method: { type }, recipe: { optimizer } }, { kind, rows: 1000 })
          for (const field of Object.keys(RecipeRequestSchema.properties)) {
            const row = rowOf(field)
            if (field === 'max_steps' || field === 'epochs') continue // follow from the number of rows
            const value = String(recipe[field as keyof typeof recipe])
            assert.ok(row.split(/[ ,;|`]+/).includes(value), `${field} is ${value} for ${kind} by ${type} with ${optimizer}`)
          }
        }
      }
    }
  })

  test('/openapi.json is OpenAPI 3.1 with every operation, its schemas and its scopes', async () => {
    const document = await openApi()
    assert.match(document.openapi, /^3\.1\./)
    assert.deepEqual(Object.keys(document.paths).sort(), [
      '/healthz', '/metrics', '/readyz', '/v1/bases', '/v1/bases/{base}', '/v1/files', '/v1/files/{file}', '/v1/files/{file}/content', '/v1/keys', '/v1/keys/{key}',
      '/v1/tasks', '/v1/tasks/{task}', '/v1/tasks/{task}/aliases', '/v1/tasks/{task}/aliases/{alias}', '/v1/tasks/{task}/aliases/{alias}/history',
      '/v1/tasks/{task}/aliases/{alias}/rollback', '/v1/tasks/{task}/infer', '/v1/tasks/{task}/versions', '/v1/tasks/{task}/versions/{version}',
      '/v1/tasks/{task}/versions/{version}/artifact', '/v1/training-jobs', '/v1/training-jobs/{job}', '/v1/training-jobs/{job}/cancel', '/v1/training-jobs/{job}/events'
    ])
    const infer = document.paths['/v1/tasks/{task}/infer'].post
    assert.deepEqual(infer.security, [{ key: [] }])
    assert.match(infer.description, /scope infer/)
    const body = infer.requestBody.content['application/json'].schema
    assert.equal(body.additionalProperties, false)
    assert.ok(['input', 'inputs', 'stream', 'stop', 'logprobs'].every(field => field in body.properties))
    assert.ok('application/json' in infer.responses['200'].content && 'application/json' in infer.responses['4XX'].content)
    assert.deepEqual(Object.keys(document.paths['/v1/files'].post.requestBody.content), ['multipart/form-data', 'application/jsonl', 'application/x-ndjson'])
  })
})
