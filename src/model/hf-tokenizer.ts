/** The tokenizer and the chat template of a Hugging Face model folder. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MalformedModelError } from '../errors.js'
import { usableChatTemplate } from './chat-template.js'
import { readJson } from './hf-folder.js'
import type { ImportedTokenizer } from './tokenizer-gguf.js'
import { idsAround, validateTokenizerJson } from './tokenizer-json.js'

const TOKENIZER = 'tokenizer.json'
const TEMPLATE = 'chat_template.jinja'
const TOKENIZER_CONFIG = 'tokenizer_config.json'
const MAX_TEMPLATE_BYTES = 1_000_000

/** @throws MalformedModelError naming file and field */
export function tokenizerFromFolder (folder: string, vocabSize: number): ImportedTokenizer {
  const path = join(folder, TOKENIZER)
  if (!existsSync(path)) throw new MalformedModelError(`${TOKENIZER} is missing`)
  const tokenizerJson = validateTokenizerJson(readFileSync(path), { vocabSize })
  const { text, warning } = usableChatTemplate(templateText(folder))
  return {
    tokenizerJson,
    addsBos: idsAround(tokenizerJson.post_processor).before.length > 0,
    chatTemplate: text,
    warnings: warning === null ? [] : [warning]
  }
}

function templateText (folder: string): string | null {
  const path = join(folder, TEMPLATE)
  if (existsSync(path)) {
    const { size } = statSync(path)
    if (size > MAX_TEMPLATE_BYTES) throw new MalformedModelError(`${TEMPLATE} has ${size} bytes, limit ${MAX_TEMPLATE_BYTES}`)
    return readFileSync(path, 'utf8')
  }
  if (!existsSync(join(folder, TOKENIZER_CONFIG))) return null
  const template = readJson(folder, TOKENIZER_CONFIG)['chat_template']
  if (typeof template === 'string') return template
  // Bases with several templates list them by name.
  const named = Array.isArray(template) ? (template as unknown[]).find(isDefault) : undefined
  return named?.template ?? null
}

function isDefault (entry: unknown): entry is { name: 'default', template: string } {
  if (entry === null || typeof entry !== 'object') return false
  const { name, template } = entry as { name?: unknown, template?: unknown }
  return name === 'default' && typeof template === 'string'
}
