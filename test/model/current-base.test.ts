import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { NotYetError } from '../../src/errors.js'
import { basePlace, basesFolder, makeCurrent, openCurrentBase } from '../../src/model/current-base.js'
import { tinyBase, type TestBase } from '../inference/tiny-base.js'

suite('the current base', () => {
  let home: string
  let first: TestBase
  let second: TestBase
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'permafrost-current-'))
    first = await tinyBase({ seed: 1 })
    second = await tinyBase({ seed: 2 })
    for (const { base: { folder } } of [first, second]) await cp(folder, join(basesFolder(home), basename(folder)), { recursive: true })
  })
  after(async () => {
    await first.dispose()
    await second.dispose()
    await rm(home, { recursive: true, force: true })
  })

  test('is not there yet until one is made so', async () => {
    await assert.rejects(openCurrentBase({ PERMAFROST_HOME: home }), NotYetError)
    await assert.rejects(openCurrentBase({ PERMAFROST_HOME: home, BASE_FOLDER: join(home, 'nowhere') }), NotYetError)
    assert.match(basePlace({ PERMAFROST_HOME: home, BASE_FOLDER: join(home, 'nowhere') }), /^a base in .*\/nowhere \(permafrost base add/)
  })

  test('is the one made so last, by a link that nobody sees half done', async () => {
    for (const { base } of [first, second, first, second]) {
      await makeCurrent(base, home)
      const opened = await openCurrentBase({ PERMAFROST_HOME: home })
      assert.deepEqual([opened.manifest.digest, basename(opened.folder)], [base.manifest.digest, basename(base.folder)])
    }
    assert.equal((await readdir(basesFolder(home))).length, 3)
  })

  test('stays the same for who has opened it, and BASE_FOLDER goes before it', async () => {
    await makeCurrent(first.base, home)
    const opened = await openCurrentBase({ PERMAFROST_HOME: home })
    await makeCurrent(second.base, home)
    assert.equal((await openCurrentBase({ PERMAFROST_HOME: home, BASE_FOLDER: opened.folder })).manifest.digest, first.base.manifest.digest)
  })
})
