import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { BoundedCache } from '../../src/inference/bounded-cache.js'

const [A, B, C] = [digestOf('a'), digestOf('b'), digestOf('c')]

suite('bounded cache', () => {
  test('the least recently used value goes when the bytes are used up', () => {
    const cache = new BoundedCache<number>(100, bytes => bytes)
    for (const digest of [A, B]) cache.add(digest, 40).release()
    cache.pin(A)!.release()
    cache.add(C, 40).release()
    assert.deepEqual([cache.has(A), cache.has(B), cache.has(C)], [true, false, true])
    assert.deepEqual([cache.size, cache.bytes], [2, 80])
    assert.equal(cache.pin(B), null)
  })

  test('a value in use stays, and goes when it is released', () => {
    const cache = new BoundedCache<number>(50, bytes => bytes)
    const first = cache.add(A, 40)
    const again = cache.pin(A)!
    const second = cache.add(B, 40)
    first.release()
    first.release()
    assert.deepEqual([cache.size, cache.bytes], [2, 80])
    again.release()
    assert.deepEqual([cache.has(A), cache.has(B)], [false, true])
    second.release()
    assert.deepEqual([cache.size, cache.bytes], [1, 40])
  })

  test('values of less right have half of the bytes, and push out each other alone while there is room', () => {
    const cache = new BoundedCache<number>(100, bytes => bytes, bytes => bytes % 2 === 1)
    cache.add(A, 40).release()
    const inUse = cache.add(B, 31)
    cache.add(C, 29).release()
    assert.deepEqual([cache.has(A), cache.has(B), cache.has(C)], [true, true, false])
    inUse.release()
    cache.add(C, 29).release()
    assert.deepEqual([cache.has(A), cache.has(B), cache.has(C), cache.bytes], [true, false, true, 69])
    cache.add(B, 60).release()
    assert.deepEqual([cache.has(A), cache.has(B), cache.has(C), cache.bytes], [false, true, true, 89])
  })

  test('a value larger than the cache is handed out and not kept, and pushes out no value in use', () => {
    const cache = new BoundedCache<number>(20, bytes => bytes)
    const small = cache.add(A, 10)
    const large = cache.add(B, 40)
    assert.equal(large.value, 40)
    large.release()
    assert.deepEqual([cache.has(A), cache.has(B), cache.bytes], [true, false, 10])
    small.release()
  })

  test('the first value of a digest is kept', () => {
    const cache = new BoundedCache<{ bytes: number }>(100, ({ bytes }) => bytes)
    const value = { bytes: 10 }
    cache.add(A, value)
    assert.equal(cache.add(A, { bytes: 10 }).value, value)
    assert.deepEqual([cache.size, cache.bytes], [1, 10])
  })

  test('has room for what fits without evicting', () => {
    const cache = new BoundedCache<number>(100, bytes => bytes)
    cache.add(A, 60).release()
    assert.deepEqual([cache.hasRoom(40), cache.hasRoom(41)], [true, false])
  })
})
