/** The vocabulary as a tree of bytes, laid out so that all tokens are walked in one pass over flat arrays. */

/** Tokens of no text have no place in it. */
export interface TokenTrie {
  /** [nodes] in depth-first order, the root left out. */
  readonly bytes: Uint8Array
  /** [nodes] bytes from the root, at least 1. */
  readonly depths: Uint16Array
  /** [nodes] the first node behind this one and all below it. */
  readonly skip: Int32Array
  /** [nodes] the tokens that end here are `ids` from `tokenStart[node]` to before `tokenStart[node + 1]`. */
  readonly tokenStart: Int32Array
  readonly ids: Int32Array
  readonly maxDepth: number
}

export function tokenTrie (tokens: ReadonlyArray<Uint8Array | undefined>): TokenTrie {
  const sorted = tokens.flatMap((bytes, id) => bytes === undefined ? [] : [{ id, bytes: Buffer.from(bytes) }]).sort((a, b) => Buffer.compare(a.bytes, b.bytes))
  const bytes: number[] = []
  const depths: number[] = []
  const tokenStart: number[] = []
  const ids: number[] = []
  let before = Buffer.alloc(0)
  for (const { id, bytes: token } of sorted) {
    let common = 0
    while (common < before.length && before[common] === token[common]) common++
    for (let depth = common; depth < token.length; depth++) {
      bytes.push(token[depth]!)
      depths.push(depth + 1)
      tokenStart.push(ids.length)
    }
    ids.push(id)
    before = token
  }
  tokenStart.push(ids.length)
  return {
    bytes: Uint8Array.from(bytes), depths: Uint16Array.from(depths), skip: skips(depths),
    tokenStart: Int32Array.from(tokenStart), ids: Int32Array.from(ids), maxDepth: depths.reduce((a, b) => Math.max(a, b), 0)
  }
}

function skips (depths: readonly number[]): Int32Array {
  const skip = new Int32Array(depths.length)
  /** By depth: the node that comes next at this depth or above it. */
  const open: number[] = []
  for (const [node, depth] of [...depths, 0].entries()) {
    while (open.length > 0 && depths[open.at(-1)!]! >= depth) skip[open.pop()!] = node
    open.push(node)
  }
  return skip
}
