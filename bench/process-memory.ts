/** What the processes of one service take of this machine's memory, as the kernel counts it. Linux. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { HomePaths } from '../src/supervisor/home.js'

/** In bytes. */
export interface ProcessMemory {
  readonly resident: number
  /** Of the resident pages those that no other process shares. */
  readonly private: number
}

export interface ServicePids { readonly supervisor: number, readonly redis: number, readonly api: number, readonly inference: number, readonly worker: number }

/** Of a service that `start` runs, with one worker. @throws Error when one is missing */
export function pidsOf (paths: HomePaths): ServicePids {
  const children = readFileSync(paths.children, 'utf8').trim().split('\n').map(line => Number(line.split(' ')[0]))
  const ofVerb = (verb: string): number => {
    const pid = children.find(child => readFileSync(`/proc/${child}/cmdline`, 'utf8').endsWith(`\0${verb}\0`))
    if (pid === undefined) throw new Error(`no process ${verb} runs`)
    return pid
  }
  return {
    supervisor: (JSON.parse(readFileSync(paths.service, 'utf8')) as { pid: number }).pid,
    redis: Number(readFileSync(join(paths.redis, 'redis.pid'), 'utf8')),
    api: ofVerb('api'),
    inference: ofVerb('inference'),
    worker: ofVerb('worker')
  }
}

export function memoryOf (pid: number): ProcessMemory {
  const rollup = fieldsOf(`/proc/${pid}/smaps_rollup`)
  return { resident: rollup('Rss'), private: rollup('Private_Clean') + rollup('Private_Dirty') }
}

/** In bytes; as `memoryOf`, without the walk through all pages. */
export function residentOf (pid: number): number {
  return fieldsOf(`/proc/${pid}/status`)('VmRSS')
}

/** The most that was resident since the process started or `forgetPeak` was called, in bytes. */
export function peakOf (pid: number): number {
  return fieldsOf(`/proc/${pid}/status`)('VmHWM')
}

/** proc(5), clear_refs: 5 resets the peak to what is resident now. */
export function forgetPeak (pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** Reads `Name:   12 kB`. */
function fieldsOf (file: string): (name: string) => number {
  const text = readFileSync(file, 'utf8')
  return name => {
    const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
    if (kilobytes === undefined) throw new Error(`${file} has no ${name}`)
    return Number(kilobytes) * 1024
  }
}
