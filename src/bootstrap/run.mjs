/**
 * What every `npm run` script of the project goes through: `node src/bootstrap/run.mjs FILE.js [arguments]` installs
 * when node_modules is not what the lockfile says, builds when a source changed, then runs `dist/FILE.js` in this very
 * process, so that signals and the exit code need no forwarding. Says what it does on stderr; stdout is the program's.
 *
 * Plain JavaScript on Node's own modules: it runs before anything is installed or compiled.
 */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, isBuilt } from './build.mjs'
import { install, isInstalled } from './install.mjs'
import { exclusively } from './lock.mjs'
import { platformProblem } from './platform.mjs'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')

function say (line) {
  process.stderr.write(`${line}\n`)
}

async function phase (name, work) {
  say(`${name} ...`)
  const started = process.hrtime.bigint()
  await work()
  say(`${name}: ${(Number(process.hrtime.bigint() - started) / 1e9).toFixed(1)} s`)
}

async function prepare () {
  if (isInstalled(root) && isBuilt(root)) return
  await exclusively(root, () => say('another start is installing or building here; waiting for it'), async () => {
    // Looked at again: whoever held the lock before may have done the work.
    if (!isInstalled(root)) await phase('installing from package-lock.json (npm ci)', async () => await install(root))
    if (!isBuilt(root)) await phase('building (tsc)', async () => await build(root))
  })
}

// As in the command line (src/cli/main.ts), for tests and benchmarks.
process.env.ORT_DISABLE_TELEMETRY = '1'

const [target, ...rest] = process.argv.slice(2)
const problem = platformProblem(process)
if (problem !== null) {
  say(problem)
  process.exit(1)
}
if (target === undefined) {
  say('usage: node src/bootstrap/run.mjs FILE.js [arguments]')
  process.exit(2)
}
try {
  await prepare()
} catch (error) {
  say(error.message)
  process.exit(1)
}
const file = join(root, 'dist', target)
if (!existsSync(file)) {
  say(`there is no ${join('dist', target)}: ${target} is no program of this project`)
  process.exit(2)
}
process.argv = [process.argv[0], file, ...rest]
await import(pathToFileURL(file).href)
