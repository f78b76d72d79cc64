import { loadConfig } from '../../config.js'
import { endWithSupervisor } from '../../supervisor/end-with-supervisor.js'
import { positionals, type Verb } from '../verb.js'

export const verb: Verb = {
  usage: 'permafrost inference\n\nOne process of the service (the frozen model), for containers. Needs a base\n(BASE_FOLDER or `permafrost base add`), and waits for what is not there yet.',
  async run (args) {
    positionals(args)
    endWithSupervisor()
    const { runInference } = await import('../../inference/main.js')
    await runInference(loadConfig(process.env))
    return 0
  }
}
