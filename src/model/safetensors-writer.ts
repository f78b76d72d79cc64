import { LENGTH_BYTES } from './safetensors.js'

export interface SafetensorsPlan { readonly name: string, readonly shape: readonly number[] }

/**
 * Header of a float32 safetensors file whose tensors follow in the given order without gaps, and where each starts.
 * Padded with spaces so that the data starts at a multiple of `alignment`.
 */
export function float32Header (tensors: readonly SafetensorsPlan[], { metadata, alignment = 8 }: { metadata?: Readonly<Record<string, string>>, alignment?: number } = {}): { header: Uint8Array, offsets: ReadonlyMap<string, number>, fileBytes: number } {
  const entries: Array<[string, unknown]> = metadata === undefined ? [] : [['__metadata__', metadata]]
  const starts: Array<[string, number]> = []
  let end = 0
  for (const { name, shape } of tensors) {
    const start = end
    end += shape.reduce((product, dim) => product * dim, 4)
    starts.push([name, start])
    entries.push([name, { dtype: 'F32', shape, data_offsets: [start, end] }])
  }
  // Built by hand: as an object, a tensor called __proto__ would vanish.
  const json = Buffer.from(`{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`)
  const dataStart = Math.ceil((LENGTH_BYTES + json.length) / alignment) * alignment
  const header = Buffer.alloc(dataStart, ' ')
  header.writeBigUInt64LE(BigInt(dataStart - LENGTH_BYTES))
  json.copy(header, LENGTH_BYTES)
  return { header, offsets: new Map(starts.map(([name, start]) => [name, dataStart + start])), fileBytes: dataStart + end }
}

/** A whole float32 file in memory, tensors in map order. */
export function encodeSafetensors (tensors: ReadonlyMap<string, { readonly shape: readonly number[], readonly values: Float32Array }>, metadata?: Readonly<Record<string, string>>): Uint8Array<ArrayBuffer> {
  const plan = [...tensors].map(([name, { shape }]) => ({ name, shape }))
  const { header, offsets, fileBytes } = float32Header(plan, metadata === undefined ? {} : { metadata })
  const file = new Uint8Array(fileBytes)
  file.set(header)
  for (const [name, { shape, values }] of tensors) {
    if (values.length !== shape.reduce((product, dim) => product * dim, 1)) throw new Error(`internal: ${name} has ${values.length} values for shape [${shape.join(', ')}]`)
    file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), offsets.get(name))
  }
  return file
}
