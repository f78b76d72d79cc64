/** A worker in a process of its own, for tests that signal or kill it. Settings come from the environment; the queue's lock is short. */
import { loadConfig } from '../../src/config.js'
import { runWorker } from '../../workers/main.js'

// Like the command line: what runs on after the grace period ends with the process.
await runWorker(loadConfig(process.env), { lockDuration: 2000, stalledInterval: 500 })
process.exit(0)
