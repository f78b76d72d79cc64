import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { receiveJsonl } from '../../../src/api/jsonl/receive.js'
import { readRows } from '../../../src/api/jsonl/read-rows.js'
import { MAX_LINE_BYTES } from '../../../src/api/jsonl/line-splitter.js'
import { digestOf } from '../../../src/digest.js'
import { ServiceError } from '../../../src/errors.js'

async function * inChunks (bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size)
}

async function refusalOf (content: string | Buffer, maxBytes = 10 * 1024 * 1024): Promise<{ code: string, line?: number, param?: string }> {
  try {
    await receiveJsonl(inChunks(Buffer.from(content), 7), maxBytes)
  } catch (error) {
    assert.ok(error instanceof ServiceError)
    return { code: error.code, ...(error.line === undefined ? {} : { line: error.line }), ...(error.param === undefined ? {} : { param: error.param }) }
  }
  return assert.fail('the file was taken')
}

const good = '{"input":"a","target":"b"}\n'

suite('receiveJsonl()', () => {
  test('counts rows and takes the bytes as they are, in whatever chunks', async () => {
    const file = Buffer.from(`\uFEFF${good}\r\n\n{"input":{"premise":"é😀"},"label":1,"more":[1]}\r\n{"input":"x","references":["y"]}`)
    for (const size of [1, 2, 3, 10, 1000]) {
      const received = await receiveJsonl(inChunks(file, size), 1000)
      assert.equal(received.rows, 3)
      assert.deepEqual(Buffer.from(received.bytes), file)
      assert.equal(received.digest, digestOf(file))
    }
  })

  test('names the line and the field of what is wrong', async () => {
    const cases: Array<[string | Buffer, { code: string, line?: number, param?: string }]> = [
      [`${good}{"input": "a", `, { code: 'bad_line', line: 2 }],
      [`${good}\n\n[1]\n`, { code: 'bad_line', line: 4 }],
      [`${good}"text"\n`, { code: 'bad_line', line: 2 }],
      [`${good}null\n`, { code: 'bad_line', line: 2 }],
      [`{"target":"b"}\n`, { code: 'bad_line', line: 1, param: 'input' }],
      [`{"input":5,"target":"b"}\n`, { code: 'bad_line', line: 1, param: 'input' }],
      [`{"input":{"a":1},"target":"b"}\n`, { code: 'bad_line', line: 1, param: 'input' }],
      [`{"input":" ","target":"b"}\n`, { code: 'bad_line', line: 1, param: 'input' }],
      [`${good}{"input":"a","target":7}\n`, { code: 'bad_line', line: 2, param: 'target' }],
      [`${good}{"input":"a","label":{}}\n`, { code: 'bad_line', line: 2, param: 'label' }],
      [`${good}{"input":"a","references":[]}\n`, { code: 'bad_line', line: 2, param: 'references' }],
      [`${good}{"input":"a"}\n`, { code: 'bad_line', line: 2, param: 'target' }],
      [Buffer.concat([Buffer.from(good), Buffer.from([0x7b, 0xff, 0x7d, 0x0a])]), { code: 'bad_line', line: 2 }],
      [good + 'x'.repeat(MAX_LINE_BYTES + 1), { code: 'bad_line', line: 2 }],
      ['', { code: 'empty_file', param: 'file' }],
      ['\n \n', { code: 'empty_file', param: 'file' }]
    ]
    for (const [content, expected] of cases) assert.deepEqual(await refusalOf(content), expected, content.toString().slice(0, 60))
  })

  test('refuses a file over the limit', async () => {
    assert.deepEqual(await refusalOf(good.repeat(10), 100), { code: 'body_too_large', param: 'file' })
  })

  test('reads the rest of a file after a bad line, so that the sender can finish', async () => {
    let sent = 0
    async function * chunks (): AsyncGenerator<Uint8Array> {
      for (; sent < 10; sent++) yield Buffer.from('bad\n')
    }
    await assert.rejects(receiveJsonl(chunks(), 1000), { code: 'bad_line', line: 1 })
    assert.equal(sent, 10)
  })
})

suite('readRows()', () => {
  test('gives rows with their lines and lets others run meanwhile', async () => {
    const bytes = Buffer.from(good.repeat(50_000))
    let turns = 0
    const timer = setInterval(() => { turns++ }, 1)
    let last = 0
    for await (const { line } of readRows(bytes)) last = line
    clearInterval(timer)
    assert.equal(last, 50_000)
    assert.ok(turns > 1, `${turns} turns`)
  })
})
