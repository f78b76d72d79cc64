import { parseArgs } from 'node:util'
import { loadConfig } from '../../config.js'
import { InterruptedError, start } from '../../supervisor/start.js'
import { positionals, type Verb } from '../verb.js'

export const verb: Verb = {
  usage: 'permafrost start\n\nRuns Redis, the api, the inference process and the workers on this machine until ^C. Settings are\nenvironment variables; .env.example lists them.',
  speaksPlainly: true,
  async run (args) {
    positionals(parseArgs({ args: [...args], allowPositionals: true }).positionals)
    try {
      await start(loadConfig(process.env), line => console.log(line))
    } catch (error) {
      if (!(error instanceof InterruptedError)) throw error
      console.log(`stopped: ${error.message}`)
    }
    return 0
  }
}
