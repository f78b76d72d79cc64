import { loadConfig } from '../../config.js'
import { endWithSupervisor } from '../../supervisor/end-with-supervisor.js'
import { positionals, type Verb } from '../verb.js'

export const verb: Verb = {
  usage: 'permafrost worker\n\nOne process of the service (training jobs), for containers. Needs REDIS_URL and a base\n(BASE_FOLDER or `permafrost base add`), and waits for what is not there yet.',
  async run (args) {
    positionals(args)
    endWithSupervisor()
    const { runWorker } = await import('../../../workers/main.js')
    await runWorker(loadConfig(process.env))
    return 0
  }
}
