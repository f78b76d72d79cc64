import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Digest, digestOf } from '../../src/digest.js'
import { SingleFlight } from '../../src/inference/single-flight.js'

const name = (index: number): Digest => digestOf(String(index))

suite('single flight', () => {
  test('works once for all who ask at the same time, and again for those who come later', async () => {
    let done = 0
    const flight = new SingleFlight<number>(1)
    const work = async (): Promise<number> => ++done
    assert.deepEqual(await Promise.all([flight.run(name(1), work), flight.run(name(1), work), flight.run(name(2), work)]), [1, 1, 2])
    assert.equal(await flight.run(name(1), work), 3)
  })

  test('a failure reaches everyone who waits, and is not remembered', async () => {
    let attempts = 0
    const flight = new SingleFlight<string>(1)
    const work = async (): Promise<string> => {
      if (++attempts === 1) throw new Error('disk')
      return 'read'
    }
    const results = await Promise.allSettled([flight.run(name(1), work), flight.run(name(1), work)])
    assert.deepEqual(results.map(({ status }) => status), ['rejected', 'rejected'])
    assert.equal(await flight.run(name(1), work), 'read')
  })

  test('no more than allowed at once, in the order they came, and a failure passes its turn on', async () => {
    const finish: Array<(fails: boolean) => void> = []
    const begun: number[] = []
    const flight = new SingleFlight<void>(2)
    const results = [0, 1, 2, 3, 4].map(index => flight.run(name(index), async () => {
      begun.push(index)
      await new Promise<void>((resolve, reject) => { finish.push(fails => fails ? reject(new Error('disk')) : resolve()) })
    }))
    const settled = Promise.allSettled(results)
    for (let next = 0; next < 5; next++) {
      while (finish.length <= next) await new Promise(resolve => setImmediate(resolve))
      assert.ok(begun.length <= next + 2)
      finish[next]!(next === 1)
    }
    assert.deepEqual((await settled).map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'])
    assert.deepEqual(begun, [0, 1, 2, 3, 4])
  })
})
