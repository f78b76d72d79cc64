import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { taskFromData } from '../../src/cli/task-from-data.js'

const repeat = <T>(rows: T[], times: number): T[] => Array.from({ length: times }, () => rows).flat()

suite('taskFromData()', () => {
  test('takes the words of target for the labels where each label has its own', () => {
    const rows = [{ input: 'a', label: 'PlayMusic', target: 'play music' }, { input: 'b', label: 'GetWeather', target: 'get weather' }]
    assert.deepEqual(taskFromData(rows), { kind: 'classification', labels: ['get weather', 'play music'] })
    assert.deepEqual(taskFromData([{ input: 'a', label: 1, target: 'positive' }, { input: 'b', label: 0, target: 'negative' }]).labels, ['negative', 'positive'])
  })

  test('takes the labels themselves where targets are absent or say something else', () => {
    assert.deepEqual(taskFromData([{ input: 'a', label: 1 }, { input: 'b', label: 0 }]).labels, ['0', '1'])
    assert.deepEqual(taskFromData([{ input: 'a', label: 'x', target: 'one' }, { input: 'b', label: 'x', target: 'two' }, { input: 'c', label: 'y', target: 'one' }]).labels, ['x', 'y'])
    assert.deepEqual(taskFromData([{ input: 'a', label: 'x', target: 'same' }, { input: 'b', label: 'y', target: 'same' }]).labels, ['x', 'y'])
  })

  test('takes few, short, recurring targets for labels', () => {
    assert.deepEqual(taskFromData(repeat([{ input: 'a', target: 'yes' }, { input: 'b', target: 'no' }], 5)), { kind: 'classification', labels: ['no', 'yes'] })
  })

  test('is generation when targets are long, rare, or have references', () => {
    const generation = { kind: 'generation', labels: null }
    assert.deepEqual(taskFromData([{ input: 'a', target: 'one' }, { input: 'b', target: 'two' }]), generation)
    assert.deepEqual(taskFromData(repeat([{ input: 'a', target: 'x'.repeat(61) }], 10)), generation)
    assert.deepEqual(taskFromData(repeat([{ input: 'a', target: 'yes', references: ['yes'] }], 10)), generation)
  })
})
