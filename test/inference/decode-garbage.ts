/** A process that decodes 16 rows of the tiny base and prints how many bytes of objects a step makes. */
import { tinyBase } from './tiny-base.js'
import { generate, submit, tinyService } from './tiny-service.js'

const ROWS = 16
/** Behind these steps the functions of the loop are compiled. */
const WARM_UP = 800
const MEASURED = 400

const tiny = await tinyBase({ contextLength: 2048 })
const service = await tinyService(tiny.base, { slots: ROWS, maxContext: 2048 })
const usedAt = new Map<number, number>()
const observe = (): void => {
  const { stepsTotal } = service.loop
  if ((stepsTotal === WARM_UP || stepsTotal === WARM_UP + MEASURED) && !usedAt.has(stepsTotal)) usedAt.set(stepsTotal, process.memoryUsage().heapUsed)
}
const running = await Promise.all(Array.from({ length: ROWS }, async (_, row) => await submit(service, generate([3, 4, 5 + row], { maxTokens: 1500 }), new AbortController().signal, observe)))
await Promise.all(running.map(async ({ done }) => await done))
await service.stop(0)
await tiny.dispose()
console.log((usedAt.get(WARM_UP + MEASURED)! - usedAt.get(WARM_UP)!) / MEASURED)
