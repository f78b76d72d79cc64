/** The processes of the service on one machine: what is started, when it is ready, how long it may take to end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Config } from '../config.js'
import { advertisedUrl, listenAddress } from '../inference/client-address.js'
import { ReplicaClient } from '../inference/client.js'
import { recordChild } from './leftovers.js'
import { setNiceness } from './niceness.js'
import { serviceUrl } from './service-url.js'
import type { ProcessPlan } from './supervised-process.js'

const MAIN = fileURLToPath(new URL('../cli/main.js', import.meta.url))
/** Longer than each process takes for the answers under way or a checkpoint. */
const GRACE_MS = 30_000
const POLL_MS = 25
/**
 * On a machine that does it all, the api waits for a core behind whoever computes, and it needs one for a moment only:
 * with equal priorities its event loop stands still for a whole step of the model. Serving comes before training: by
 * the kernel's weights a worker gets a 23rd of a core that both want at 19, and a quarter at 10; measured is more
 * (`bench/results/mixed-load.md`). Only a privileged user's api goes before
 * the rest: 16 streams beside a training job on 2 cores, p99 of its event loop sampled each 10 ms, 16.8 ms so and 21 to
 * 30 ms at 0.
 */
const NICENESS = { api: -10, inference: 5, worker: 19 } as const

export interface PlanContext {
  readonly config: Config
  /** Environment of every child: the caller's and what `start` decided. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly logs: string
  readonly children: string
}

export function inferencePlan (context: PlanContext): ProcessPlan {
  return plan('inference', 'inference', context, async signal => {
    const { config } = context
    const client = new ReplicaClient(advertisedUrl({}, listenAddress(config)), config.INFERENCE_SECRET)
    try {
      await until(async () => (await client.status()).ready, signal)
    } finally {
      client.close()
    }
  })
}

export function apiPlan (context: PlanContext): ProcessPlan {
  const url = serviceUrl(context.config)
  return plan('api', 'api', context, async signal => await until(async () => (await fetch(`${url}/healthz`, { signal })).ok, signal))
}

/** A worker is ready when it runs: jobs wait in the queue, nobody waits for the worker. */
export function workerPlan (context: PlanContext, number: number): ProcessPlan {
  return plan(context.config.WORKERS === 1 ? 'worker' : `worker-${number}`, 'worker', context, async () => {})
}

function plan (name: string, verb: keyof typeof NICENESS, { env, logs, children }: PlanContext, ready: (signal: AbortSignal) => Promise<void>): ProcessPlan {
  const log = join(logs, `${name}.log`)
  return {
    name,
    log,
    graceMs: GRACE_MS,
    spawn () {
      const output = openSync(log, 'a')
      // A process group of its own, because ^C in the terminal must not end the children out of order; the channel,
      // because its end tells a child that this process died.
      const child = spawn(process.execPath, [MAIN, verb], { stdio: ['ignore', output, output, 'ipc'], env, detached: true })
      closeSync(output)
      if (child.pid !== undefined) {
        recordChild(children, child.pid)
        void setNiceness(child.pid, NICENESS[verb])
      }
      return child
    },
    ready: async (_child, signal) => await ready(signal),
    askToEnd: (child: ChildProcess) => { child.kill('SIGTERM') }
  }
}

async function until (isReady: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !await isReady().catch(() => false)) await sleep(POLL_MS)
}
