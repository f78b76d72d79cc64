import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { job, openTestbed, task, type Testbed, version } from './testbed.js'

/** Write until Redis is gone; answers what was acknowledged. */
async function writeUntilKilled (bed: Testbed, killAfter: number): Promise<{ versions: number[], jobs: string[] }> {
  await bed.registry.createTask('a', task('t'))
  const versions: number[] = []
  const jobs: string[] = []
  let killed: Promise<void> | undefined
  for (let i = 0; ; i++) {
    try {
      versions.push((await bed.registry.publishVersion('a', 't', version(`v${i}`))).number)
      jobs.push((await bed.registry.createJob(job('a', 't', `job_${i}`))).id)
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'registry_unavailable', String(error))
      break
    }
    // Not awaited: the writes go on while the signal is on its way.
    if (i === killAfter) killed = bed.server.kill9()
  }
  await killed
  return { versions, jobs }
}

suite('kill -9 of Redis', () => {
  test('loses nothing acknowledged with appendfsync always', async () => {
    const bed = await openTestbed({ appendfsync: 'always' })
    try {
      const acknowledged = await writeUntilKilled(bed, 20)
      await bed.server.restart()
      const reader = await bed.connect()
      const numbers = new Set((await reader.listVersions('a', 't')).map(({ number }) => number))
      assert.deepEqual(acknowledged.versions.filter(number => !numbers.has(number)), [])
      const ids = new Set((await reader.listJobs('a')).map(({ id }) => id))
      assert.deepEqual(acknowledged.jobs.filter(id => !ids.has(id)), [])
      // And every job that is remembered is in the queue, whether or not the answer arrived.
      await reader.requeueLostJobs()
      for (const id of ids) assert.equal(await bed.redis.exists(`{pf}:queue:training:${id}`), 1)
    } finally {
      await bed.close()
    }
  })

  test('loses at most the end of what was acknowledged with appendfsync everysec, and never half a publication', async () => {
    const bed = await openTestbed({ appendfsync: 'everysec' })
    try {
      const acknowledged = await writeUntilKilled(bed, 20)
      await bed.server.restart()
      const reader = await bed.connect()
      const numbers = (await reader.listVersions('a', 't')).map(({ number }) => number)
      assert.deepEqual(numbers, Array.from({ length: numbers.length }, (_, i) => i + 1))
      assert.ok(numbers.length <= acknowledged.versions.length + 1)
      if (numbers.length > 0) {
        assert.equal((await reader.getAlias('a', 't', 'production')).version, numbers.length)
        assert.equal((await reader.aliasHistory('a', 't', 'production')).length, numbers.length)
      }
    } finally {
      await bed.close()
    }
  })
})

suite('checkRedis()', () => {
  test('says nothing about a Redis that keeps what it is told', async () => {
    const bed = await openTestbed()
    try {
      assert.deepEqual(await bed.registry.checkRedis(), [])
    } finally {
      await bed.close()
    }
  })

  test('warns of a Redis that forgets', async () => {
    const bed = await openTestbed({ extraArguments: ['--appendonly', 'no', '--maxmemory-policy', 'allkeys-lru'] })
    try {
      const warnings = await bed.registry.checkRedis()
      assert.equal(warnings.length, 2)
      assert.match(warnings[0] ?? '', /appendonly yes/)
      assert.match(warnings[1] ?? '', /maxmemory-policy allkeys-lru/)
    } finally {
      await bed.close()
    }
  })
})
