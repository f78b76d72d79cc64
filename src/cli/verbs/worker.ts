import { loadConfig } from '../../config.js'
import { endWithSupervisor } from '../../supervisor/end-with-supervisor.js'
import { positionals, type Verb } from '../verb.js'

export const verb: Verb = {
  usage: 'permafrost worker\n\nOne process of the service (training jobs). Needs BASE_FOLDER, REDIS_URL and INFERENCE_URL\nas `permafrost start` sets them; for containers.',
  async run (args) {
    positionals(args)
    endWithSupervisor()
    const { runWorker } = await import('../../../workers/main.js')
    await runWorker(loadConfig(process.env))
    return 0
  }
}
