import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { ObjectStore } from '../../../src/registry/store/object-store.js'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (found: Uint8Array | null): string | null => found === null ? null : Buffer.from(found).toString()

/** What every object store keeps to, whatever it is made of. `open` gives an empty one. */
export function objectStoreContract (name: string, open: () => Promise<ObjectStore>): void {
  suite(name, () => {
    test('returns the bytes that were put last', async () => {
      const store = await open()
      await store.put('a/b.json', bytes('1'))
      await store.put('a/b.json', bytes('22'))
      assert.equal(text(await store.get('a/b.json')), '22')
      assert.equal(await store.has('a/b.json'), true)
      await store.put('empty', bytes(''))
      assert.equal(text(await store.get('empty')), '')
    })

    test('answers null for what it does not have', async () => {
      const store = await open()
      await store.put('a/b', bytes('1'))
      for (const key of ['a', 'a/c', 'a/b/c', 'x/y/z']) {
        assert.equal(await store.get(key), null)
        assert.equal(await store.has(key), false)
      }
    })

    test('forgets what was deleted, and takes a second deletion', async () => {
      const store = await open()
      await store.put('a/b', bytes('1'))
      await store.delete('a/b')
      await store.delete('a/b')
      await store.delete('never/there')
      assert.equal(await store.get('a/b'), null)
      assert.deepEqual(await store.list(''), [])
    })

    test('lists keys below a prefix, sorted', async () => {
      const store = await open()
      for (const key of ['b/2', 'b/10', 'a', 'b/x/y', 'bb/1']) await store.put(key, bytes(key))
      assert.deepEqual(await store.list(''), ['a', 'b/10', 'b/2', 'b/x/y', 'bb/1'])
      assert.deepEqual(await store.list('b/'), ['b/10', 'b/2', 'b/x/y'])
      assert.deepEqual(await store.list('b'), ['b/10', 'b/2', 'b/x/y', 'bb/1'])
      assert.deepEqual(await store.list('b/x'), ['b/x/y'])
      assert.deepEqual(await store.list('c/'), [])
    })

    test('takes no key that is not made of plain segments', async () => {
      const store = await open()
      for (const key of ['', '/', '/etc/passwd', '../x', 'a/../../x', 'a//b', 'a/', './a', 'a\\b', 'a\0b', 'ä', 'x'.repeat(256)]) {
        await assert.rejects(store.put(key, bytes('1')), /no object key/)
        await assert.rejects(store.get(key), /no object key/)
        await assert.rejects(store.has(key), /no object key/)
        await assert.rejects(store.delete(key), /no object key/)
      }
      await assert.rejects(store.list('../'), /no object key/)
    })

    test('shows a reader the whole old or the whole new value while it is replaced', async () => {
      const store = await open()
      const values = ['a', 'b'].map(letter => letter.repeat(200_000))
      await store.put('value', bytes(values[0] ?? ''))
      await Promise.all([
        (async () => { for (let i = 0; i < 20; i++) await store.put('value', bytes(values[i % 2] ?? '')) })(),
        (async () => { for (let i = 0; i < 60; i++) assert.ok(values.includes(text(await store.get('value')) ?? '')) })()
      ])
    })
  })
}
