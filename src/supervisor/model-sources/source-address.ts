import { SourceUnavailableError } from './known-file.js'

/** An address without the user and password it may have carried, fit to be shown, and the headers that carry them instead. */
export interface SourceAddress {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

export function isHttpAddress (text: string, base?: string): boolean {
  return URL.canParse(text, base) && /^https?:$/.test(new URL(text, base).protocol)
}

/**
 * @param setting names the address in the error, which does not show it: what is no address may hold a password too
 * @throws SourceUnavailableError
 */
export function sourceAddress (setting: string, text: string, base?: string): SourceAddress {
  if (!isHttpAddress(text, base)) throw new SourceUnavailableError(`${setting} is no http:// or https:// address`)
  const url = new URL(text, base)
  const { username, password } = url
  if (username === '' && password === '') return { url, headers: {} }
  url.username = ''
  url.password = ''
  const credentials = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')
  return { url, headers: { authorization: `Basic ${credentials}` } }
}

/** A percent sign that stands for itself stays what it is. */
function decoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
