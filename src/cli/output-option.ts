import { readFile } from 'node:fs/promises'
import { UsageError } from './verb.js'

/** What `--output` gives: a JSON object, or the name of a file that holds one. @throws UsageError */
export async function outputOption (value: string | undefined): Promise<object | undefined> {
  if (value === undefined) return undefined
  const json = value.trimStart().startsWith('{') ? value : await readFile(value, 'utf8')
  try {
    return JSON.parse(json) as object
  } catch {
    throw new UsageError('--output takes JSON or a file of it: {"json_schema": …}, {"choices": […]} or {"regex": "…"}')
  }
}
