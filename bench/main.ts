/** `npm run bench -- NAME [options]`: finds the benchmark and turns its outcome into an exit code (0 as wanted, 1 not, 2 usage). */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { ConfigError, loadConfig } from '../src/config.js'
import { dataFolder } from './data-folder.js'
import { openDefaultBase } from './default-base.js'
import { BenchFailure } from './failure.js'

interface Bench {
  readonly usage: string
  /** Loaded when it is asked for. @throws BenchFailure when the numbers are not the wanted ones */
  run (args: string[]): Promise<void>
}

const BENCHES: Readonly<Record<string, Bench>> = {
  serving: {
    usage: 'serving [--rounds N]                            decode and prefill with and without prompts, against node-llama-cpp and transformers + PEFT (PYTHON)',
    run: async args => await (await import('./serving.js')).serving(args)
  },
  'short-inputs': {
    usage: 'short-inputs                                    short inputs of different tasks in one run against one after another',
    run: async args => await (await import('./short-inputs.js')).shortInputs(args)
  },
  many: {
    usage: 'many                                            traffic over 10,000 prompts against one prompt',
    run: async args => await (await import('./many.js')).many(args)
  },
  isolation: {
    usage: 'isolation [--model default|tiny] [--engine c-api|stock] [--format w8a8|float32] [--mixes N]\n                                                  requests in random company against each one alone, to the bit',
    run: async args => await (await import('./isolation.js')).isolation(args)
  },
  fairness: {
    usage: 'fairness [--rounds N]                           what tenants notice of one that asks for twenty times its share',
    run: async args => await (await import('./fairness.js')).fairness(args)
  },
  structured: {
    usage: 'structured [--cases N]                          random schemas, choices and expressions: what ends satisfies them, and what masks cost',
    run: async args => await (await import('./structured.js')).structured(args)
  },
  'int8-quality': {
    usage: 'int8-quality                                    what W8A8 costs against float32 on real text',
    async run (args) {
      const { values: { json } } = parseArgs({ args, options: { json: { type: 'boolean', default: false } } })
      const config = loadConfig(process.env)
      const data = dataFolder(config)
      const { int8Quality } = await import('./int8-quality.js')
      await int8Quality(await openDefaultBase(config), data, config.INFERENCE_THREADS || availableParallelism(), json)
    }
  },
  'event-loop': {
    usage: 'event-loop [--streams N] [--seconds N]          event-loop delay of api and inference at saturation, alone and beside training',
    run: async args => await (await import('./event-loop.js')).eventLoop(args)
  },
  'mixed-load': {
    usage: 'mixed-load [--rounds N] [--rate N]              serving beside a training job on the same cores, and the job beside serving',
    run: async args => await (await import('./mixed-load.js')).mixedLoad(args)
  },
  soak: {
    usage: 'soak [--minutes N]                              saturation with publications and hang-ups: errors, stale answers, memory over time',
    run: async args => await (await import('./soak.js')).soak(args)
  },
  memory: {
    usage: 'memory                                          memory of each process, and what it grows with',
    run: async args => await (await import('./memory.js')).memory(args)
  },
  swap: {
    usage: 'swap                                            what it costs to answer by another prompt: compiled, evicted, in the store alone',
    run: async args => await (await import('./swap.js')).swap(args)
  },
  tasks: {
    usage: 'tasks [SET ...]                                 what the defaults reach on real data through the whole service',
    run: async args => await (await import('./tasks.js')).tasks(args)
  }
}

async function run ([name, ...args]: string[]): Promise<number> {
  if (name === undefined || !Object.hasOwn(BENCHES, name)) {
    console.error(`${name === undefined ? 'which benchmark?' : `"${name}" is no benchmark`}\nusage: npm run bench -- NAME [--json] [options]\n${Object.values(BENCHES).map(({ usage }) => `  ${usage}`).join('\n')}`)
    return 2
  }
  try {
    await BENCHES[name]!.run(args)
    return 0
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true) {
      console.error(`${(error as Error).message}\n  ${BENCHES[name]!.usage}`)
      return 2
    }
    console.error(error instanceof BenchFailure || error instanceof ConfigError ? error.message : error)
    return 1
  }
}

// Not left to the empty event loop: a library's forgotten handle must not keep a finished benchmark.
process.exit(await run(process.argv.slice(2)))
