import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../src/project.js'

interface Host { readonly platform: string, readonly arch: string, readonly versions: { readonly node: string }, readonly report: { getReport (): unknown } }
const { platformProblem } = await import(pathToFileURL(join(PROJECT_ROOT, 'src', 'bootstrap', 'platform.mjs')).href) as { platformProblem (host: Host): string | null }

const glibc = { getReport: () => ({ header: { glibcVersionRuntime: '2.36' } }) }
const good: Host = { platform: 'linux', arch: 'x64', versions: { node: '20.11.0' }, report: glibc }

suite('platformProblem()', () => {
  test('accepts Linux with glibc on x64 and arm64, Node 20.11 and later', () => {
    assert.equal(platformProblem(good), null)
    assert.equal(platformProblem({ ...good, arch: 'arm64', versions: { node: '24.1.0' } }), null)
  })
  test('names what does not fit in one line', () => {
    assert.match(platformProblem({ ...good, versions: { node: '20.10.9' } }) ?? '', /^Permafrost needs Node\.js 20\.11 or newer; this is 20\.10\.9\.$/)
    assert.match(platformProblem({ ...good, platform: 'darwin' }) ?? '', /this is darwin\.$/)
    assert.match(platformProblem({ ...good, arch: 'ia32' }) ?? '', /this is ia32\.$/)
    assert.match(platformProblem({ ...good, report: { getReport: () => ({ header: {} }) } }) ?? '', /musl/)
  })
})
