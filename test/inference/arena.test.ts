import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Arena, arenaBytes, slotLength } from '../../src/inference/arena.js'

const SHAPE = { layers: 2, slots: 3, kvHeads: 2, positions: 5, headSize: 2 }

function newArena (): Arena {
  return new Arena(SHAPE, Array.from({ length: 4 }, (_, part) => Float32Array.from({ length: 3 * slotLength(SHAPE) }, (_, i) => part * 1000 + i)))
}

suite('arena', () => {
  test('states its memory in bytes', () => {
    assert.equal(arenaBytes(SHAPE), 2 * 2 * 3 * 2 * 5 * 2 * 4)
  })

  test('writes a prefix at the first positions of one slot and nothing else', () => {
    const arena = newArena()
    const before = newArena()
    const prefix = Float32Array.from({ length: 2 * 2 * 2 * 3 * 2 }, (_, i) => -i)
    arena.write(1, prefix, 3)
    assert.deepEqual(arena.read(1, 3), prefix)
    // Layer 1, values, head 1, position 2, second number: index (((1*2+1)*2+1)*3+2)*2+1 of the prefix.
    assert.equal(arena.parts[3]![1 * slotLength(SHAPE) + (1 * 5 + 2) * 2 + 1], -47)
    let changed = 0
    for (const [number, part] of arena.parts.entries()) for (let i = 0; i < part.length; i++) if (part[i] !== before.parts[number]![i]) changed++
    assert.equal(changed, prefix.length)
  })

  test('moves and clears the positions that a sequence uses', () => {
    const arena = newArena()
    const held = arena.read(2, 4)
    const fifth = arena.parts[0]![4 * 2]
    arena.move(2, 0, 4)
    assert.deepEqual(arena.read(0, 4), held)
    assert.equal(arena.parts[0]![4 * 2], fifth)
    arena.clear(2, 4)
    assert.ok(arena.read(2, 4).every(value => value === 0))
    assert.notEqual(arena.parts[0]![2 * slotLength(SHAPE) + 4 * 2], 0)
  })

  test('moves the positions behind the first ones alone', () => {
    const arena = newArena()
    const [from, to] = [arena.read(2, 5), arena.read(0, 5)]
    arena.move(2, 0, 4, 3)
    // Of each head positions 0, 1, 2 and 4 are as they were.
    const expected = to.map((value, index) => Math.floor(index / SHAPE.headSize) % 5 === 3 ? from[index]! : value)
    assert.deepEqual(arena.read(0, 5), expected)
  })

  test('refuses slots and positions that it does not have', () => {
    const arena = newArena()
    for (const [slot, length] of [[3, 1], [-1, 1], [0.5, 1], [0, 6], [0, -1], [0, Number.NaN]] as const) {
      assert.throws(() => arena.read(slot, length), /internal/)
      assert.throws(() => arena.clear(slot, length), /internal/)
      assert.throws(() => arena.move(0, slot, length), /internal/)
      assert.throws(() => arena.move(slot, 0, length), /internal/)
      assert.throws(() => arena.move(0, 1, 5, length === 1 ? 6 : length), /internal/)
    }
    assert.throws(() => arena.write(0, new Float32Array(47), 3), /47 numbers for 3 positions/)
    assert.throws(() => new Arena(SHAPE, [new Float32Array(1)]), /arena shape/)
  })
})
