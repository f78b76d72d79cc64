/** GGUF files of a few bytes for tests. Nothing is checked: a test may write any lie. */

export type GgufField =
  | { readonly type: 'string', readonly value: string | Uint8Array }
  | { readonly type: 'uint32' | 'int32' | 'float32', readonly value: number }
  | { readonly type: 'bool', readonly value: boolean }
  | { readonly type: 'strings', readonly value: readonly string[] }
  | { readonly type: 'uint32s', readonly value: readonly number[] }

export interface GgufTensorBytes {
  readonly name: string
  /** As the file has it: fastest first. */
  readonly dims: readonly number[]
  readonly type: number
  readonly data: Uint8Array
}

const TYPE = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 }

export function ggufBytes (fields: Readonly<Record<string, GgufField>>, tensors: readonly GgufTensorBytes[], { version = 3, alignment = 32 } = {}): Buffer {
  const head = [Buffer.from('GGUF'), u32(version), u64(tensors.length), u64(Object.keys(fields).length)]
  for (const [key, field] of Object.entries(fields)) head.push(text(key), fieldBytes(field))
  const data: Buffer[] = []
  let offset = 0
  for (const { name, dims, type, data: bytes } of tensors) {
    head.push(text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset))
    const padded = padding(bytes.length, alignment)
    data.push(Buffer.from(bytes), padded)
    offset += bytes.length + padded.length
  }
  const header = Buffer.concat(head)
  return Buffer.concat([header, padding(header.length, alignment), ...data])
}

function fieldBytes (field: GgufField): Buffer {
  switch (field.type) {
    case 'string': return Buffer.concat([u32(TYPE.string), text(field.value)])
    case 'bool': return Buffer.concat([u32(TYPE.bool), Buffer.of(field.value ? 1 : 0)])
    case 'strings': return Buffer.concat([u32(TYPE.array), u32(TYPE.string), u64(field.value.length), ...field.value.map(text)])
    case 'uint32s': return Buffer.concat([u32(TYPE.array), u32(TYPE.uint32), u64(field.value.length), ...field.value.map(u32)])
    case 'uint32': return Buffer.concat([u32(TYPE.uint32), u32(field.value)])
    case 'int32': return Buffer.concat([u32(TYPE.int32), u32(field.value)])
    case 'float32': {
      const bytes = Buffer.alloc(4)
      bytes.writeFloatLE(field.value)
      return Buffer.concat([u32(TYPE.float32), bytes])
    }
  }
}

function u32 (value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

function u64 (value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function text (value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string)
  return Buffer.concat([u64(bytes.length), bytes])
}

function padding (length: number, alignment: number): Buffer {
  return Buffer.alloc((alignment - length % alignment) % alignment)
}
