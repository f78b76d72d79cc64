/** Progress of a known amount of bytes: a bar on a terminal, a plain line for each tenth elsewhere. */
export interface Progress {
  update (bytes: number): void
  end (): void
}

export type StartProgress = (label: string, total: number) => Progress

export interface Output {
  readonly isTTY?: boolean
  write (text: string): unknown
}

const BAR_WIDTH = 30
const REDRAW_MS = 100

export function progressOf (label: string, total: number, out: Output = process.stderr, now: () => number = () => performance.now()): Progress {
  let started = 0
  let drawn = -Infinity
  let tenths = 0
  let startBytes = -1

  function line (bytes: number): string {
    const seconds = (now() - started) / 1000
    // Counted from the first byte: neither the wait for it nor what an earlier try had brought is this connection's speed.
    const rate = seconds > 0 ? (bytes - startBytes) / seconds : 0
    return `${label}: ${megabytes(bytes)} of ${megabytes(total)} MB, ${megabytes(rate)} MB/s`
  }
  return {
    update (bytes) {
      if (startBytes < 0) {
        startBytes = bytes
        started = now()
      }
      const share = Math.min(1, bytes / total)
      if (out.isTTY === true) {
        if (now() - drawn < REDRAW_MS && share < 1) return
        drawn = now()
        const filled = Math.round(share * BAR_WIDTH)
        out.write(`\r\x1b[K[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${line(bytes)}`)
      } else if (Math.floor(share * 10) > tenths) {
        tenths = Math.floor(share * 10)
        out.write(`${line(bytes)}\n`)
      }
    },
    end () {
      if (out.isTTY === true && drawn > -Infinity) out.write('\n')
    }
  }
}

function megabytes (bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}
