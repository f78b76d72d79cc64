import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { MalformedModelError } from '../../src/errors.js'
import { tokenizerFromJson } from '../../src/model/bpe-tokenizer.js'
import { ChatTemplate, usableChatTemplate, type ChatMessage, type RenderOptions } from '../../src/model/chat-template.js'
import { readGguf } from '../../src/model/gguf.js'
import { integerOf } from '../../src/model/gguf-values.js'
import { tokenizerFromGguf } from '../../src/model/tokenizer-gguf.js'
import { fixturesFolder } from '../support/shared.js'

async function renderChatTemplate (template: string, messages: readonly ChatMessage[], options: RenderOptions = {}): Promise<string> {
  const chat = new ChatTemplate(template)
  try {
    return await chat.render(messages, options)
  } finally {
    chat.close()
  }
}

suite('chat templates', () => {
  test('are rendered with messages and markers', async () => {
    const template = '{{ bos_token }}{% for m in messages %}\n    [{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}> {% endif %}'
    assert.equal(await renderChatTemplate(template, [{ role: 'user', content: '<b> "x"' }], { bosToken: '<s>' }), '<s>    [user] <b> "x"\n> ')
    assert.equal(await renderChatTemplate(template, [], { addGenerationPrompt: false }), '')
  })

  test('that do not parse, or are too long, are not kept', () => {
    assert.deepEqual(usableChatTemplate(null), { text: null, warning: null })
    const broken = usableChatTemplate('{% for x in %}{{')
    assert.equal(broken.text, null)
    assert.match(broken.warning!, /does not parse/)
    assert.match(usableChatTemplate('{{'.repeat(100_000)).warning!, /200000 characters, limit 100000/)
    assert.equal(usableChatTemplate('{{'.repeat(40_000)).text, null)
    assert.equal(usableChatTemplate(`{{ ${'('.repeat(40_000)} }}`).text, null)
  })

  test('that fail say so', async () => {
    await assert.rejects(renderChatTemplate("{{ raise_exception('no system role') }}", []), (error: unknown) => error instanceof MalformedModelError && /no system role/.test(error.message))
  })

  test('that never end are stopped', async () => {
    await assert.rejects(renderChatTemplate('{% for a in range(20000) %}{% for b in range(20000) %}{% endfor %}{% endfor %}', []), /more than 2000 ms/)
  })

  test('that take all memory are stopped', async () => {
    await assert.rejects(renderChatTemplate('{% for a in range(1000000000000) %}{% endfor %}', []), MalformedModelError)
    await assert.rejects(renderChatTemplate("{% set ns = namespace(s='x') %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}", []), MalformedModelError)
    await assert.rejects(renderChatTemplate("{% set ns = namespace(s='x') %}{% for a in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}", []), MalformedModelError)
  })

  test('are rendered again after one was stopped', async () => {
    const chat = new ChatTemplate("{% for m in messages %}{% for a in range(m.content | int) %}{% for b in range(20000) %}{% endfor %}{% endfor %}{{ m.role }}{% endfor %}")
    const [short, endless, again] = await Promise.allSettled(['1', '20000', '2'].map(content => chat.render([{ role: 'user', content }])))
    chat.close()
    assert.deepEqual(short, { status: 'fulfilled', value: 'user' })
    assert.equal(endless?.status, 'rejected')
    assert.deepEqual(again, { status: 'fulfilled', value: 'user' })
  })

  const folder = fixturesFolder('gguf', 'tiny-llama')
  test('of reference files give the recorded text and ids', { skip: folder === null && 'no reference data (PERMAFROST_FIXTURES)' }, async () => {
    for (const name of readdirSync(folder!).filter(name => name.endsWith('.json') && name !== 'manifest.json')) {
      const { chat_template: recorded } = JSON.parse(readFileSync(join(folder!, name), 'utf8')) as { chat_template: null | { cases: Array<{ messages: ChatMessage[], add_generation_prompt: boolean, text: string, ids_no_special: number[] }> } }
      const { metadata } = readGguf(join(folder!, name.replace('.json', '.gguf')))
      const imported = tokenizerFromGguf(metadata)
      assert.equal(imported.chatTemplate === null, recorded === null)
      const tokenizer = tokenizerFromJson(imported.tokenizerJson)
      const [bosToken, eosToken] = ['bos', 'eos'].map(marker => tokenizer.piece(integerOf(metadata, `tokenizer.ggml.${marker}_token_id`)))
      for (const { messages, add_generation_prompt, text, ids_no_special } of recorded?.cases ?? []) {
        const rendered = await renderChatTemplate(imported.chatTemplate!, messages, { addGenerationPrompt: add_generation_prompt, bosToken: bosToken!, eosToken: eosToken! })
        assert.equal(rendered, text)
        assert.deepEqual(tokenizer.encode(rendered, { addSpecial: false, parseSpecial: true }), ids_no_special)
      }
    }
  })
})
