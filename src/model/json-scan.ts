/**
 * What JSON.parse does not tell about untrusted text: how deep it nests, and the first object key that is given twice
 * in one object (the parser would keep the last). Text that is no JSON gives any answer; parse it afterwards.
 */
export function scanJson (text: string): { depth: number, repeatedKey: string | null } {
  let deepest = 0
  let repeatedKey: string | null = null
  const colon = /\s*:/y
  const open: Array<Set<string> | null> = [] // keys of an object, null for an array
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '{' || c === '[') {
      open.push(c === '{' ? new Set() : null)
      deepest = Math.max(deepest, open.length)
    } else if (c === '}' || c === ']') {
      open.pop()
    } else if (c === '"') {
      const end = stringEnd(text, i)
      const keys = open.at(-1)
      colon.lastIndex = end
      if (keys && colon.test(text)) {
        const key = keyText(text.slice(i, end))
        if (keys.has(key)) repeatedKey ??= key
        keys.add(key)
      }
      i = end - 1
    }
  }
  return { depth: deepest, repeatedKey }
}

/** The position behind the closing quote of the string that opens at `start`. */
function stringEnd (text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '"') return i + 1
  }
  return text.length
}

function keyText (quoted: string): string {
  try {
    return JSON.parse(quoted) as string
  } catch {
    return quoted
  }
}
