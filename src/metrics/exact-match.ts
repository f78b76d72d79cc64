/** Share of outputs that equal one of their references, surrounding white space aside, 0..1. @throws Error for lists of different lengths or none */
export function exactMatch (outputs: readonly string[], references: ReadonlyArray<readonly string[]>): number {
  if (outputs.length !== references.length || outputs.length === 0) {
    throw new Error(`internal: ${outputs.length} outputs for ${references.length} lists of references`)
  }
  const matches = outputs.filter((output, i) => references[i]!.some(reference => reference.trim() === output.trim()))
  return matches.length / outputs.length
}
