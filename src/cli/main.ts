#!/usr/bin/env node
/** The `permafrost` command: finds the verb, runs it, turns its outcome into an exit code. */
import { ConfigError } from '../config.js'
import { MalformedModelError, ServiceError } from '../errors.js'
import { VERSION } from '../project.js'
import { isOfNewerSchema } from '../schema.js'
import { ApiError, UnreachableError } from './api-client.js'
import { UsageError, type Verb } from './verb.js'

/** Each verb is imported when it is asked for: the api process must not load what the inference process needs. */
const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  start: async () => (await import('./verbs/start.js')).verb,
  api: async () => (await import('./verbs/api.js')).verb,
  inference: async () => (await import('./verbs/inference.js')).verb,
  worker: async () => (await import('./verbs/worker.js')).verb,
  health: async () => (await import('./verbs/health.js')).verb,
  base: async () => (await import('./verbs/base.js')).verb,
  train: async () => (await import('./verbs/train.js')).verb,
  eval: async () => (await import('./verbs/eval.js')).verb,
  infer: async () => (await import('./verbs/infer.js')).verb,
  alias: async () => (await import('./verbs/alias.js')).verb,
  keys: async () => (await import('./verbs/keys.js')).verb,
  tenants: async () => (await import('./verbs/tenants.js')).verb
}

/** Those above 2 are of sysexits.h: who restarts what ends need not restart these. 0 is done, or stopped in order. */
const EXIT = { failed: 1, wrongCommandLine: 2, newerData: 65, badConfiguration: 78 } as const

// ONNX Runtime reports its use to its makers, and keeps a log of that among the temporary files, unless it is told not to
// before it loads; children inherit it.
process.env['ORT_DISABLE_TELEMETRY'] = '1'

async function run ([name, ...args]: readonly string[]): Promise<number> {
  if (name === '--version') {
    console.log(VERSION)
    return 0
  }
  const wantsHelp = name === undefined || name === 'help' || name === '--help' || name === '-h'
  if (wantsHelp || !Object.hasOwn(VERBS, name)) {
    const usages = await Promise.all(Object.values(VERBS).map(async load => (await load()).usage))
    const help = `usage:\n${usages.map(usage => usage.split('\n').filter(line => line.startsWith('permafrost')).map(line => `  ${line}`).join('\n')).join('\n')}`
    if (wantsHelp && name !== undefined) console.log(help)
    else console.error(name === undefined ? help : `${name} is no command of permafrost\n${help}`)
    return wantsHelp && name !== undefined ? 0 : EXIT.wrongCommandLine
  }
  const verb = await VERBS[name]!()
  if (args.includes('--help') || args.includes('-h')) {
    console.log(verb.usage)
    return 0
  }
  try {
    return await verb.run(args) ?? 0
  } catch (error) {
    return report(error, verb)
  }
}

function report (error: unknown, verb: Verb): number {
  if (error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true) {
    console.error(`${(error as Error).message}\nusage:\n${verb.usage}`)
    return EXIT.wrongCommandLine
  }
  if (error instanceof ConfigError) {
    console.error(error.message)
    return EXIT.badConfiguration
  }
  if (error instanceof ServiceError) {
    console.error(`${error.code}: ${error.message}${error.param === undefined ? '' : ` (${error.param})`}`)
    return isOfNewerSchema(error) ? EXIT.newerData : EXIT.failed
  }
  // What a person can act on is said in one line; anything else is a fault of ours and needs its stack.
  const expected = error instanceof ApiError || error instanceof UnreachableError || error instanceof MalformedModelError || verb.speaksPlainly === true
  console.error(expected ? (error as Error).message : error)
  return EXIT.failed
}

// A reader like `head` that closes the pipe has had enough; that is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// Not left to the empty event loop: a library's forgotten handle must not keep a finished command.
process.exit(await run(process.argv.slice(2)))
