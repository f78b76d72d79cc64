import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { PROJECT_ROOT } from '../../src/project.js'

/** A compiler of three lines: copies each source, fails on one that says so, and counts its runs. */
const COMPILER = `
const { appendFileSync, cpSync, readFileSync, readdirSync, mkdirSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const [, project, , outDir] = process.argv.slice(2)
appendFileSync(join(project, 'compiler-runs'), 'x')
mkdirSync(join(outDir, 'src'), { recursive: true })
writeFileSync(join(outDir, 'package.json'), '{"type":"module"}')
for (const name of readdirSync(join(project, 'src')).filter(name => name.endsWith('.ts'))) {
  const text = readFileSync(join(project, 'src', name), 'utf8')
  if (text.includes('mistake')) { console.error(name + ': mistake'); process.exit(2) }
  writeFileSync(join(outDir, 'src', name.replace('.ts', '.js')), text)
}`

suite('run.mjs', () => {
  let root: string
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'permafrost-bootstrap-'))
    await cp(join(PROJECT_ROOT, 'src', 'bootstrap'), join(root, 'src', 'bootstrap'), { recursive: true })
    await mkdir(join(root, 'compiler', 'bin'), { recursive: true })
    await writeFile(join(root, 'compiler', 'bin', 'tsc'), COMPILER)
    await writeFile(join(root, 'compiler', 'package.json'), JSON.stringify({ name: 'typescript', version: '1.0.0' }))
    await writeFile(join(root, 'tsconfig.json'), '{}')
    const dependencies = { typescript: 'file:compiler' }
    await writeFile(join(root, 'package.json'), JSON.stringify({ name: 'probe', version: '1.0.0', dependencies }))
    await writeFile(join(root, 'package-lock.json'), JSON.stringify({
      name: 'probe', version: '1.0.0', lockfileVersion: 3, requires: true,
      packages: { '': { name: 'probe', version: '1.0.0', dependencies }, compiler: { name: 'typescript', version: '1.0.0' }, 'node_modules/typescript': { resolved: 'compiler', link: true } }
    }))
    await writeFile(join(root, 'src', 'hello.ts'), 'console.log(process.argv.slice(2).join(" ")); process.exitCode = 7')
  })
  after(async () => await rm(root, { recursive: true, force: true }))

  async function run (...args: string[]): Promise<{ code: number | null, stdout: string, stderr: string }> {
    const env = { ...process.env, npm_execpath: '', npm_config_cache: join(root, 'npm-cache') }
    const child = spawn(process.execPath, [join(root, 'src', 'bootstrap', 'run.mjs'), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
    const code = await new Promise<number | null>(resolve => child.once('close', resolve))
    return { code, stdout, stderr }
  }
  const compilerRuns = async (): Promise<number> => (await readFile(join(root, 'compiler-runs'), 'utf8')).length

  test('starts that come at once on a bare checkout install and build once between them', async () => {
    const runs = await Promise.all([run('src/hello.js', 'a', 'b'), run('src/hello.js', 'a', 'b'), run('src/hello.js', 'a', 'b')])
    for (const { code, stdout, stderr } of runs) {
      assert.equal(stdout, 'a b\n', stderr)
      assert.equal(code, 7)
    }
    assert.equal(await compilerRuns(), 1)
    assert.equal(runs.filter(({ stderr }) => stderr.includes('installing from package-lock.json')).length, 1)
  })

  test('says nothing and builds nothing when nothing changed', async () => {
    const { stderr } = await run('src/hello.js')
    assert.equal(stderr, '')
    assert.equal(await compilerRuns(), 1)
  })

  test('builds again after a change and drops the output of a deleted source', async () => {
    await writeFile(join(root, 'src', 'other.ts'), 'console.log("other")')
    assert.equal((await run('src/other.js')).stdout, 'other\n')
    await rm(join(root, 'src', 'other.ts'))
    const { code, stderr } = await run('src/other.js')
    assert.equal(code, 2)
    assert.match(stderr, /no dist\/src\/other\.js/)
  })

  test('keeps the last good build when the sources do not compile', async () => {
    await writeFile(join(root, 'src', 'bad.ts'), 'mistake')
    const { code, stderr } = await run('src/hello.js')
    assert.equal(code, 1)
    assert.match(stderr, /bad\.ts: mistake\n.*do not compile/s)
    assert.ok(existsSync(join(root, 'dist', 'src', 'hello.js')))
    assert.ok(!existsSync(join(root, 'dist.next')))
    await rm(join(root, 'src', 'bad.ts'))
  })

  test('installs again when the lockfile changed', async () => {
    const file = join(root, 'package-lock.json')
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll('"version":"1.0.0"', '"version":"1.0.1"'))
    for (const name of ['package.json', join('compiler', 'package.json')]) {
      await writeFile(join(root, name), (await readFile(join(root, name), 'utf8')).replace('"1.0.0"', '"1.0.1"'))
    }
    const { stderr, stdout } = await run('src/hello.js', 'again')
    assert.match(stderr, /installing from package-lock\.json/)
    assert.equal(stdout, 'again\n')
  })
})
