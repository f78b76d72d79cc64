/** A process with the C API's engine alone, as `inference` is: idle until everything that nobody holds was collected, then a step. */
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { CApiEngine } from '../../../src/inference/engine/c-api.js'
import { BASE_FILES, openBase } from '../../../src/model/base.js'

const [folder] = process.argv.slice(2)
const { manifest: { config } } = await openBase(folder!)
const engine = await CApiEngine.open({ file: join(folder!, BASE_FILES.serving.w8a8), config, slots: 2, positions: 32, threads: 1 })
for (let i = 0; i < 5; i++) {
  globalThis.gc!()
  await setImmediate() // finalizers run between two callbacks
}
const { logits } = await engine.step({ firstSlot: 0, rows: 1, ids: [5], lengths: [1], hiddenRows: [0], logitRows: [0] })
console.log(logits.every(Number.isFinite) ? 'finite' : 'not finite')
await engine.close()
