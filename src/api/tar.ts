/** POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"): enough of it to hand out one folder of regular files. */

const BLOCK = 512
const MAX_NAME_BYTES = 100
const MAX_PREFIX_BYTES = 155

/**
 * The same files give the same bytes: entries in the order given, mode 0644, no owner, time 0.
 * @throws Error for a file name over 100 bytes or a folder name over 155
 */
export function tar (folder: string, files: Iterable<readonly [name: string, bytes: Uint8Array]>): Buffer {
  const parts: Uint8Array[] = []
  for (const [name, bytes] of files) {
    parts.push(header(folder, name, bytes.length), bytes, Buffer.alloc((BLOCK - bytes.length % BLOCK) % BLOCK))
  }
  // Two empty blocks end an archive.
  parts.push(Buffer.alloc(2 * BLOCK))
  return Buffer.concat(parts)
}

function header (prefix: string, name: string, size: number): Buffer {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES || Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) throw new Error(`internal: ${prefix}/${name} is too long for a tar header`)
  const block = Buffer.alloc(BLOCK)
  block.write(name, 0)
  block.write(octal(0o644, 7), 100)
  block.write(octal(0, 7), 108)
  block.write(octal(0, 7), 116)
  block.write(octal(size, 11), 124)
  block.write(octal(0, 11), 136)
  block.write('        ', 148) // the checksum is taken with blanks in its place
  block.write('0', 156)
  block.write('ustar\u000000', 257, 'latin1')
  block.write(prefix, 345)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 6)}\u0000 `, 148, 'latin1')
  return block
}

function octal (value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
