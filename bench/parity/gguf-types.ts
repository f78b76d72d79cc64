/** `gguf/types.*`: one tensor after another, de-quantised, bit for bit. */
import { createHash } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { readRange } from '../../src/model/byte-reader.js'
import { dequantise } from '../../src/model/dequantise.js'
import { readGguf } from '../../src/model/gguf.js'
import { readJson, readTensors, sameBits, sameList, tensor } from './fixture-files.js'
import type { Checks } from './ledger.js'

interface RecordedTensor { readonly name: string, readonly type: string, readonly required: boolean, readonly shape: readonly number[], readonly offset: number, readonly bytes: number, readonly sha256: string }

export function sha256 (values: Float32Array): string {
  return createHash('sha256').update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)).digest('hex')
}

export async function ggufTypes (checks: Checks, folder: string): Promise<void> {
  const path = join(folder, 'types.gguf')
  const { tensors: recorded } = readJson<{ tensors: RecordedTensor[] }>(folder, 'types.json')
  const values = readTensors(folder, 'types.safetensors')
  const { tensors, warnings } = readGguf(path)
  checks.equal('the list of tensors', 'names', sameList([...tensors.keys()].sort(), recorded.map(({ name }) => name).sort()))
  checks.equal('no warnings', warnings.join(', '), warnings.length === 0)
  const fd = openSync(path, 'r')
  try {
    for (const { name, type, required, shape, offset, bytes, sha256: digest } of recorded) {
      await checks.attempt(`${type}: float32 values${required ? '' : ' (not required)'}`, () => {
        const found = tensors.get(name)
        if (found === undefined) throw new Error(`${name} is not in types.gguf`)
        checks.equal('type, shape, offset and size', name, found.type === type && sameList(found.shape, shape) && found.offset === offset && found.bytes === bytes)
        const own = dequantise(readRange(fd, found.offset, found.bytes), found.type)
        checks.equal(`${type}: float32 values${required ? '' : ' (not required)'}`, name, sha256(own) === digest && sameBits(own, tensor(values, name).values))
      })
    }
  } finally {
    closeSync(fd)
  }
}
