/** Writes one protobuf message: the wire format needs no library when nothing is read back. */
export class ProtobufMessage {
  readonly #parts: Uint8Array[] = []
  #size = 0

  /** Negative numbers are written as their 64-bit two's complement. */
  int (field: number, value: number): this { return this.#key(field, 0).#varint(value) }

  float (field: number, value: number): this {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    return this.#key(field, 5).#push(bytes)
  }

  bytes (field: number, bytes: Uint8Array): this { return this.#key(field, 2).#varint(bytes.byteLength).#push(bytes) }

  text (field: number, text: string): this { return this.bytes(field, Buffer.from(text, 'utf8')) }

  message (field: number, message: ProtobufMessage): this {
    this.#key(field, 2).#varint(message.#size)
    for (const part of message.#parts) this.#push(part)
    return this
  }

  finish (): Uint8Array { return new Uint8Array(Buffer.concat(this.#parts, this.#size)) }

  #key (field: number, wireType: number): this { return this.#varint(field * 8 + wireType) }

  #varint (value: number): this {
    const bytes: number[] = []
    let rest = BigInt.asUintN(64, BigInt(value))
    while (rest > 127n) {
      bytes.push(Number(rest & 127n) | 128)
      rest >>= 7n
    }
    bytes.push(Number(rest))
    return this.#push(Uint8Array.from(bytes))
  }

  #push (bytes: Uint8Array): this {
    this.#parts.push(bytes)
    this.#size += bytes.byteLength
    return this
  }
}
