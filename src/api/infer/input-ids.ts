import { ServiceError } from '../../errors.js'
import { renderTemplate } from '../../prompt/template.js'
import type { ApiServices } from '../services.js'
import { mostVirtualTokens, type PromptedModel } from './prompted-model.js'

/** Longer texts are tokenized off the event loop. */
export const SHORT_TEXT_BYTES = 4096
/** No tokenizer packs more text than this into a position, on average over a context; a longer text is not even tokenized. */
const MAX_BYTES_PER_POSITION = 16

export type TextInput = string | Readonly<Record<string, string>>

export type TextServices = Pick<ApiServices, 'tokenizer' | 'tokenizerPool' | 'chatPrompt' | 'limits'>

/** @throws ServiceError `invalid_request` for anything but a text or an object of texts */
export function asTextInput (value: unknown, param: string): TextInput {
  if (typeof value === 'string') return value
  const isFields = value !== null && typeof value === 'object' && !Array.isArray(value) && Object.values(value).every(field => typeof field === 'string')
  if (!isFields) throw new ServiceError('invalid_request', `${param} must be a text or an object of texts`, { param })
  return value as Record<string, string>
}

/**
 * The ids the model reads behind its prompt.
 * @param param the input's place in the request, for errors
 * @throws ServiceError empty_input, invalid_request, context_too_long
 */
export async function inputIds (services: TextServices, model: PromptedModel, input: TextInput, options: { readonly chat: boolean, readonly param: string }): Promise<number[]> {
  const { maxContext } = services.limits
  const { param } = options
  const fields = typeof input === 'string' ? [input] : Object.values(input)
  if (fields.every(field => field.trim() === '')) throw new ServiceError('empty_input', `${param} is empty`, { param })
  const bytes = fields.reduce((sum, field) => sum + Buffer.byteLength(field), 0)
  if (bytes > maxContext * MAX_BYTES_PER_POSITION) {
    throw new ServiceError('context_too_long', `${bytes} bytes, which cannot fit ${maxContext} positions (${MAX_BYTES_PER_POSITION} bytes each at most)`, { param })
  }
  const ids = await encode(services, model, input, options)
  // Generation needs one more position, for its first token.
  const virtualTokens = mostVirtualTokens(model)
  const needed = virtualTokens + ids.length + (model.spec?.kind === 'classification' ? 0 : 1)
  if (needed > maxContext) {
    const behind = virtualTokens === 0 ? '' : ` and ${virtualTokens} virtual tokens`
    const answer = model.spec?.kind === 'classification' ? '' : ' leave no room for an answer:'
    throw new ServiceError('context_too_long', `${ids.length} tokens of input${behind}${answer === '' ? ',' : answer} a request has ${maxContext} positions here`, { param })
  }
  return ids
}

async function encode (services: TextServices, model: PromptedModel, input: TextInput, { chat, param }: { readonly chat: boolean, readonly param: string }): Promise<number[]> {
  if (chat) return await encodeChat(services, model, input, param)
  if (model.spec !== null) return await encodeText(services, rendered(model.spec.template, input, param))
  if (typeof input !== 'string') throw new ServiceError('invalid_request', `the bare base has no template: ${param} must be a text`, { param })
  return await encodeText(services, input)
}

async function encodeChat (services: TextServices, model: PromptedModel, input: TextInput, param: string): Promise<number[]> {
  if (model.spec !== null) throw new ServiceError('invalid_request', 'chat is for the bare base; a task has its own template', { param: 'chat' })
  if (services.chatPrompt === null) throw new ServiceError('invalid_request', 'this base has no chat template', { param: 'chat' })
  if (typeof input !== 'string') throw new ServiceError('invalid_request', `a chat message is a text: ${param}`, { param })
  // The template's own control tokens have to be recognised, and then those in the message would be too.
  const special = { addSpecial: false, parseSpecial: true }
  const [plain, parsed] = await Promise.all([encodeText(services, input, { addSpecial: false }), encodeText(services, input, special)])
  if (plain.length !== parsed.length || plain.some((id, index) => id !== parsed[index])) {
    throw new ServiceError('invalid_request', `${param} contains control tokens of the base`, { param })
  }
  return await encodeText(services, await services.chatPrompt(input), special)
}

async function encodeText ({ tokenizer, tokenizerPool }: TextServices, text: string, options: { addSpecial?: boolean, parseSpecial?: boolean } = {}): Promise<number[]> {
  return Buffer.byteLength(text) > SHORT_TEXT_BYTES ? await tokenizerPool.encode(text, options) : tokenizer.encode(text, options)
}

/** The template's complaints name its field; the request's field stands in front of it. */
function rendered (template: string, input: TextInput, param: string): string {
  try {
    return renderTemplate(template, input)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    throw new ServiceError(error.code, error.message, { param: param + (error.param ?? 'input').slice('input'.length), cause: error })
  }
}
