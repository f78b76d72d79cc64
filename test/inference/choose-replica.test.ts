import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { digestOf } from '../../src/digest.js'
import { type Candidate, chooseReplica } from '../../src/inference/choose-replica.js'

const replica = (number: number, load = 0, slots = 16): Candidate => ({ url: `http://10.0.0.${number}:7070`, slots, load })
const PROMPTS = Array.from({ length: 2000 }, (_, i) => digestOf(`prompt ${i}`))
const homes = (replicas: readonly Candidate[]): string[] => PROMPTS.map(prompt => chooseReplica(replicas, prompt)!.url)

suite('chooseReplica', () => {
  test('nobody is chosen from nobody', () => {
    assert.equal(chooseReplica([], null), null)
  })

  test('gives each prompt a home, and each process its share of prompts', () => {
    const replicas = [1, 2, 3, 4].map(number => replica(number))
    const chosen = homes(replicas)
    assert.deepEqual(homes([...replicas].reverse()), chosen)
    for (const { url } of replicas) {
      const share = chosen.filter(home => home === url).length / PROMPTS.length
      // 2000 draws at 1/4: 4 standard deviations are 0.039.
      assert.ok(Math.abs(share - 1 / 4) < 0.039, `${url} is the home of ${share}`)
    }
  })

  test('moves with a process that comes or goes its own prompts and no others', () => {
    const four = homes([1, 2, 3, 4].map(number => replica(number)))
    const three = homes([1, 2, 3].map(number => replica(number)))
    const gone = replica(4).url
    for (const [index, home] of four.entries()) {
      if (home !== gone) assert.equal(three[index], home)
    }
    const takers = new Set(three.filter((_, index) => four[index] === gone))
    assert.equal(takers.size, 3, 'those of the one that went are spread over all others')
  })

  test('passes a hot prompt on to the next in its ranking, and back', () => {
    const replicas = [1, 2, 3].map(number => ({ ...replica(number), load: 0 }))
    const [prompt] = PROMPTS as [typeof PROMPTS[number]]
    const ranking: string[] = []
    const left = [...replicas]
    while (left.length > 0) {
      const next = chooseReplica(left, prompt)!
      ranking.push(next.url)
      left.splice(left.indexOf(next), 1)
    }
    const took: string[] = []
    for (let request = 0; request < 30; request++) {
      const chosen = chooseReplica(replicas, prompt)!
      chosen.load++
      took.push(chosen.url)
    }
    // A quarter of 16 slots ahead of the least busy one, then one more each.
    assert.deepEqual(took.slice(0, 10), [...Array<string>(5).fill(ranking[0]!), ...Array<string>(5).fill(ranking[1]!)])
    assert.ok(Math.max(...replicas.map(({ load }) => load)) - Math.min(...replicas.map(({ load }) => load)) <= 5)
    for (const each of replicas) each.load = 0
    assert.equal(chooseReplica(replicas, prompt)!.url, ranking[0])
  })

  test('keeps a prompt at home while that has a sequence more, however few slots there are', () => {
    const idle = [replica(1, 0, 2), replica(2, 0, 2)]
    const home = chooseReplica(idle, PROMPTS[0]!)!.url
    const withLoad = (load: number): Candidate[] => idle.map(each => each.url === home ? { ...each, load } : each)
    assert.equal(chooseReplica(withLoad(1), PROMPTS[0]!)!.url, home)
    assert.notEqual(chooseReplica(withLoad(2), PROMPTS[0]!)!.url, home)
  })

  test('spreads requests without a prompt by load alone, as a share of the slots', () => {
    const replicas = [{ ...replica(1), load: 0 }, { ...replica(2, 0, 32), load: 0 }]
    for (let request = 0; request < 48; request++) chooseReplica(replicas, null)!.load++
    assert.deepEqual(replicas.map(({ load }) => load), [16, 32])
  })
})
