/** What the command line's `inference` does, for tests that start a process. */
import { loadConfig } from '../../src/config.js'
import { runInference } from '../../src/inference/main.js'

await runInference(loadConfig(process.env))
