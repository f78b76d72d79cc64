import { type DestinationStream, type Logger, pino } from 'pino'

/**
 * The log of a process. Errors of Redis carry the command that failed: with a password when it is the first one of a
 * connection, with labels and templates when it writes a task. None of that belongs into a log.
 */
export function createLogger (name: string, level: string, destination?: DestinationStream): Logger {
  const options = { name, level, redact: { paths: ['err.command'], remove: true } }
  return destination === undefined ? pino(options) : pino(options, destination)
}
