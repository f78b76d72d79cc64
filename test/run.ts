/** `npm test`: the linter, then every test file. `npm test -- registry` runs the files whose path contains "registry". */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { PROJECT_ROOT } from '../src/project.js'

/** Test files that run at once. */
const CONCURRENCY = 2

const filters = process.argv.slice(2)
const tests = readdirSync(import.meta.dirname, { withFileTypes: true, recursive: true })
  .filter(entry => entry.isFile() && entry.name.endsWith('.test.js'))
  .map(entry => join(entry.parentPath ?? entry.path, entry.name))
  .filter(file => filters.length === 0 || filters.some(filter => relative(import.meta.dirname, file).includes(filter)))
  .sort()
if (tests.length === 0) {
  console.error(`no test file has ${filters.join(' or ')} in its path`)
  process.exit(2)
}

// Every temporary folder of every test lies in this one, so that nothing stays behind even when a test is killed.
const temporary = mkdtempSync(join(tmpdir(), 'permafrost-test-'))

async function run (command: string, args: readonly string[]): Promise<number> {
  const child = spawn(command, args, { cwd: PROJECT_ROOT, stdio: 'inherit', env: { ...process.env, TMPDIR: temporary } })
  const forward = (signal: NodeJS.Signals): void => { child.kill(signal) }
  process.on('SIGTERM', forward).on('SIGINT', forward)
  const code = await new Promise<number>(resolve => child.once('close', code => resolve(code ?? 1)))
  process.off('SIGTERM', forward).off('SIGINT', forward)
  return code
}

try {
  const linted = filters.length > 0 ? 0 : await run(process.execPath, [join('node_modules', 'oxlint', 'bin', 'oxlint'), '--deny-warnings', 'src', 'workers', 'test', 'bench'])
  process.exitCode = linted
  const tested = await run(process.execPath, ['--enable-source-maps', '--test', '--test-reporter=spec', `--test-concurrency=${CONCURRENCY}`, ...tests])
  process.exitCode = linted !== 0 ? linted : tested
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
