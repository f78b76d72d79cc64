import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { digestOf } from '../../../src/digest.js'
import { errorOf, type File, type List } from '../answers.js'
import { type Answer, type Caller, openTestbed, refusal, type Testbed } from '../testbed.js'

const rows = '{"input":"a","target":"x"}\n{"input":"b","label":1}\n'
const jsonl = { 'content-type': 'application/jsonl' }

function multipart (parts: ReadonlyArray<{ name: string, content: string, filename?: string }>): { body: string, headers: Record<string, string> } {
  const boundary = '----test-boundary'
  const body = parts.map(({ name, content, filename }) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"\r\ncontent-type: application/octet-stream`}\r\n\r\n${content}\r\n`).join('')
  return { body: `${body}--${boundary}--\r\n`, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } }
}

suite('/v1/files', () => {
  let bed: Testbed
  let caller: Caller
  before(async () => {
    bed = await openTestbed({ maxFileBytes: 200_000 })
    caller = await bed.caller()
  })
  after(async () => await bed.close())

  async function upload (parts: Parameters<typeof multipart>[0]): Promise<Answer<File>> {
    const { body, headers } = multipart(parts)
    return await caller.post<File>('/v1/files', body, headers)
  }

  test('takes a multipart upload, gives it back byte for byte, and deletes it', async () => {
    for (const parts of [
      [{ name: 'purpose', content: 'fine-tune' }, { name: 'file', content: rows, filename: 'train.jsonl' }],
      [{ name: 'file', content: rows, filename: 'train.jsonl' }, { name: 'purpose', content: 'fine-tune' }],
      [{ name: 'file', content: rows, filename: 'train.jsonl' }]
    ]) {
      const made = await upload(parts)
      assert.equal(made.status, 201)
      const { id, created_at: _, ...rest } = made.body
      assert.deepEqual(rest, { name: 'train.jsonl', bytes: rows.length, rows: 2, digest: digestOf(rows) })
      assert.deepEqual((await caller.get(`/v1/files/${id}`)).body, made.body)
      assert.ok((await caller.get<List<File>>('/v1/files')).body.data.some(file => file.id === id))
      const content = await caller.get(`/v1/files/${id}/content`)
      assert.deepEqual([content.status, content.headers['content-type'], content.body], [200, 'application/jsonl', rows])
      assert.deepEqual(await bed.stores.objects.list(`files/${caller.tenant}/`), [`files/${caller.tenant}/${id}.jsonl`])
      assert.equal((await caller.send('DELETE', `/v1/files/${id}`, undefined, { 'content-type': 'application/json' })).status, 204)
      assert.deepEqual(refusal(await caller.get(`/v1/files/${id}`)).code, 'file_not_found')
      assert.deepEqual(await bed.stores.objects.list(`files/${caller.tenant}/`), [])
    }
  })

  test('takes the bytes themselves', async () => {
    for (const type of ['application/jsonl', 'application/x-ndjson', 'application/jsonl; charset=utf-8']) {
      const made = await caller.post<File>('/v1/files?name=rows.jsonl', rows, { 'content-type': type })
      assert.deepEqual([made.status, made.body.name, made.body.rows], [201, 'rows.jsonl', 2])
    }
  })

  test('names line and field of a bad line', async () => {
    const bad = `${rows}{"input": 7, "target": "x"}\n`
    const expected = { status: 422, code: 'bad_line', param: 'input', line: 3 }
    assert.deepEqual(refusal(await caller.post('/v1/files', bad, jsonl)), expected)
    assert.deepEqual(refusal(await upload([{ name: 'file', content: bad, filename: 'x' }])), expected)
  })

  test('refuses what is no file', async () => {
    const empty = { status: 422, code: 'empty_file', param: 'file' }
    assert.deepEqual(refusal(await caller.post('/v1/files', '', jsonl)), empty)
    assert.deepEqual(refusal(await caller.post('/v1/files', '\n\n', jsonl)), empty)
    assert.deepEqual(refusal(await caller.post('/v1/files')), empty)
    assert.deepEqual(refusal(await upload([{ name: 'file', content: '', filename: 'x' }])), empty)
    assert.deepEqual(refusal(await upload([{ name: 'purpose', content: 'fine-tune' }])), { status: 400, code: 'invalid_request', param: 'file' })
    assert.deepEqual(refusal(await upload([{ name: 'purpose', content: 'batch' }, { name: 'file', content: rows, filename: 'x' }])), { status: 400, code: 'invalid_request', param: 'purpose' })
    assert.deepEqual(refusal(await upload([{ name: 'other', content: rows, filename: 'x' }])), { status: 400, code: 'unknown_parameter', param: 'other' })
    assert.deepEqual(refusal(await upload([{ name: 'colour', content: 'red' }])), { status: 400, code: 'unknown_parameter', param: 'colour' })
    assert.deepEqual(refusal(await caller.post('/v1/files?colour=red', rows, jsonl)), { status: 400, code: 'unknown_parameter', param: 'colour' })
    for (const type of ['text/csv', 'application/json', 'application/x-www-form-urlencoded']) {
      assert.equal(refusal(await caller.post('/v1/files', rows, { 'content-type': type })).code, 'unsupported_media_type')
    }
    assert.equal(refusal(await caller.post('/v1/files', 'nothing', { 'content-type': 'multipart/form-data' })).status, 400)
    assert.equal(refusal(await caller.post('/v1/files', '--x\r\n', { 'content-type': 'multipart/form-data; boundary=x' })).status, 400)
  })

  test('refuses what is over the limit, and nothing of it stays', async () => {
    const large = rows.repeat(5000)
    const tooLarge = { status: 413, code: 'body_too_large', param: 'file' }
    const before = await bed.stores.objects.list(`files/${caller.tenant}/`)
    assert.deepEqual(refusal(await upload([{ name: 'file', content: large, filename: 'x' }])), tooLarge)
    assert.deepEqual(refusal(await caller.post('/v1/files', large, jsonl)), tooLarge)
    assert.deepEqual(await bed.stores.objects.list(`files/${caller.tenant}/`), before)
  })

  test('a bad first line is told to a client that sends everything first', async () => {
    const url = `${await bed.listen()}/v1/files`
    const form = new FormData()
    form.set('file', new Blob([`bad\n${rows.repeat(3500)}`]), 'x.jsonl')
    const headers = { authorization: `Bearer ${caller.secret}` }
    for (const init of [{ body: form, headers }, { body: `bad\n${rows.repeat(3500)}`, headers: { ...headers, ...jsonl } }]) {
      const response = await fetch(url, { method: 'POST', ...init })
      assert.deepEqual([response.status, errorOf({ body: await response.json() }).line], [422, 1])
    }
  })

  test('belongs to its tenant', async () => {
    const { body } = await caller.post<File>('/v1/files', rows, jsonl)
    const other = await bed.caller()
    for (const answer of [await other.get(`/v1/files/${body.id}`), await other.get(`/v1/files/${body.id}/content`), await other.send('DELETE', `/v1/files/${body.id}`)]) {
      assert.deepEqual([answer.status, refusal(answer).code], [404, 'file_not_found'])
    }
    assert.equal((await caller.get(`/v1/files/${body.id}`)).status, 200)
  })

  test('an upload repeated with its Idempotency-Key is one file', async () => {
    const headers = { ...jsonl, 'idempotency-key': 'upload-1' }
    const [first, second] = [await caller.post<File>('/v1/files', rows, headers), await caller.post<File>('/v1/files', rows, headers)]
    assert.equal(first.body.id, second.body.id)
    assert.equal(refusal(await caller.post('/v1/files', rows + rows, headers)).code, 'idempotency_conflict')
  })
})
