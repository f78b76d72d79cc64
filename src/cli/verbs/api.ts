import { loadConfig } from '../../config.js'
import { endWithSupervisor } from '../../supervisor/end-with-supervisor.js'
import { positionals, type Verb } from '../verb.js'

export const verb: Verb = {
  usage: 'permafrost api\n\nOne process of the service (HTTP), for containers. Needs REDIS_URL and a base\n(BASE_FOLDER or `permafrost base add`), and waits for what is not there yet.',
  async run (args) {
    positionals(args)
    endWithSupervisor()
    const { runApi } = await import('../../api/main.js')
    await runApi(loadConfig(process.env))
    return 0
  }
}
