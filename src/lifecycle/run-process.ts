import type { Logger } from 'pino'
import type { Config } from '../config.js'
import { createLogger } from '../logger.js'
import { openHealthServer } from './health-server.js'
import { Lifecycle, type Role, StoppedError } from './lifecycle.js'

/**
 * What api, inference and worker have in common as processes: a log, a stop signal (SIGTERM, SIGINT), and the health port
 * from the first moment to the last. Resolves when `work` does, or when the process is told to stop while `work` waits.
 * @throws Error of `work`; of a health port that is taken
 */
export async function runProcess (role: Role, config: Config, work: (lifecycle: Lifecycle, logger: Logger) => Promise<void>): Promise<void> {
  const logger = createLogger(role, config.LOG_LEVEL)
  const lifecycle = new Lifecycle(role, logger, stopSignal())
  const health = config.HEALTH_PORT === undefined ? null : await openHealthServer(config.HOST, config.HEALTH_PORT, lifecycle, logger)
  try {
    await work(lifecycle, logger)
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error
    logger.info(error.message)
  } finally {
    await health?.close()
  }
}

/** A second signal ends the process as if nobody listened. */
function stopSignal (): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => { stop.abort(new StoppedError(`${signal} before the process was ready`)) })
  }
  return stop.signal
}
