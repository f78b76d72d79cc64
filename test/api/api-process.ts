/** The api as a process of its own, as `process.test.ts` starts it. */
import { runApi } from '../../src/api/main.js'
import { loadConfig } from '../../src/config.js'

await runApi(loadConfig(process.env))
