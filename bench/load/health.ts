/** Metrics of the processes of a service that was started with `HEALTH_PORT=0`: each has a port of its own, which its log says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { homePaths } from '../../src/supervisor/home.js'

/** The value of a metric of that name. @throws Error for one that is not there */
export type Metrics = (name: string) => number

export async function metricsOf (home: string, process: 'api' | 'inference'): Promise<Metrics> {
  const text = await (await fetch(`http://127.0.0.1:${healthPort(home, process)}/metrics`)).text()
  return name => {
    const line = text.split('\n').find(candidate => candidate.startsWith(`${name} `) || candidate.startsWith(`${name}{`))
    if (line === undefined) throw new Error(`the ${process} process has no metric ${name}`)
    return Number(line.slice(line.lastIndexOf(' ') + 1))
  }
}

function healthPort (home: string, process: string): number {
  const log = readFileSync(join(homePaths(home).logs, `${process}.log`), 'utf8')
  // The last: an earlier one has ended.
  const port = [...log.matchAll(/"port":(\d+),"msg":"health port listens"/g)].at(-1)?.[1]
  if (port === undefined) throw new Error(`the ${process} process listens on no health port`)
  return Number(port)
}
