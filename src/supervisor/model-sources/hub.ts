/** The Hugging Face hub: one file of a repository at a fixed commit. */
import type { StartProgress } from '../progress.js'
import { download } from './download.js'
import type { Timeouts } from './http-get.js'
import type { KnownFile } from './known-file.js'
import { sourceAddress } from './source-address.js'

/** As in Hugging Face tools: HF_ENDPOINT, HF_TOKEN. */
export interface HubOptions {
  readonly endpoint: string
  readonly token: string | undefined
}

/** Fetch the file into `part`. @throws SourceUnavailableError; `part` stays for the next try. */
export async function fetchFromHub (file: KnownFile, part: string, startProgress: StartProgress, { endpoint, token }: HubOptions, timeouts: Timeouts): Promise<void> {
  const { url, headers } = sourceAddress('HF_ENDPOINT', `${endpoint.replace(/\/+$/, '')}/${file.hub.repository}/resolve/${file.hub.commit}/${file.name}`)
  const address = { url, headers: token === undefined ? headers : { authorization: `Bearer ${token}` } }
  await download({ name: file.name, address, bytes: file.bytes, maxBytes: file.bytes }, part, startProgress, timeouts)
}
