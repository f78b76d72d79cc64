/** Greedy ids of the whole inference service against transformers and PEFT. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { Digest } from '../../src/digest.js'
import type { SequenceEvent } from '../../src/inference/protocol.js'
import { SafetensorsFile } from '../../src/model/safetensors-file.js'
import { fixturesFolder } from '../support/shared.js'
import { importedBase, type TestBase } from './tiny-base.js'
import { generate, promptFiles, submit, tinyService, tokenIds, type TestService } from './tiny-service.js'

interface Reference { readonly ids: number[], readonly logprobs: number[] }

const folder = fixturesFolder('llama')

/** Methods whose saved adapter is the prompt itself. */
const ADAPTERS = ['prompt_random', 'prompt_text', 'prefix', 'ptuning_mlp', 'ptuning_lstm', 'prefix_mlp']

function json<T> (...path: string[]): T {
  return JSON.parse(readFileSync(join(folder!, ...path), 'utf8')) as T
}

suite('the inference service against the Llama fixtures', { skip: folder === null && 'no llama in the fixtures' }, () => {
  let imported: TestBase
  let service: TestService
  let eos: number[]
  const prompts = new Map<string, Digest>()

  before(async () => {
    imported = await importedBase(join(folder!, 'model'))
    service = await tinyService(imported.base)
    eos = [...imported.base.manifest.config.eosTokenIds]
    for (const name of readdirSync(join(folder!, 'peft')).filter(name => ADAPTERS.includes(name))) {
      const file = new SafetensorsFile(join(folder!, 'peft', name, 'adapter', 'adapter_model.safetensors'))
      const values = file.read('prompt_embeddings')
      const [virtualTokens] = file.header.tensors.get('prompt_embeddings')!.shape
      file.close()
      const method = name.startsWith('prefix') ? 'prefix-tuning' : 'prompt-tuning'
      prompts.set(name, service.artifacts.put(promptFiles(imported.base, { method, virtualTokens: virtualTokens!, value: index => values[index]! })))
    }
  })
  after(async () => {
    await service.stop(0)
    await imported.dispose()
  })

  /** The reference ids end with the end token, which is never sent. */
  const answer = async (inputIds: number[], maxTokens: number, prompt: Digest | null): Promise<SequenceEvent[]> =>
    await (await submit(service, generate(inputIds, { prompt, maxTokens, stopTokenIds: eos, logprobs: 0 }))).done
  const check = (events: SequenceEvent[], { ids, logprobs }: Reference): void => {
    const ended = eos.includes(ids.at(-1)!)
    assert.deepEqual(tokenIds(events), ended ? ids.slice(0, -1) : ids)
    const last = events.at(-1)!
    assert.equal(last.type === 'finished' && last.reason, ended ? 'stop' : 'length')
    for (const [step, event] of events.entries()) {
      if (event.type === 'token') assert.ok(Math.abs(event.logprob! - logprobs[step]!) < 1e-3, `step ${step}: ${event.logprob} against ${logprobs[step]}`)
    }
  }

  test('the base alone', async () => {
    const { cases } = json<{ cases: Array<{ kind: string, input_ids: number[][], attention_mask: number[][], max_new_tokens: number, outputs: Reference[] }> }>('generate.json')
    const greedy = cases.filter(({ kind }) => kind === 'greedy')
    assert.ok(greedy.length > 0)
    // The last case is a left-padded batch: rows run without their padding, all together.
    const runs = greedy.flatMap(({ input_ids, attention_mask, max_new_tokens, outputs }) => input_ids.map(async (ids, row) => {
      check(await answer(ids.filter((_, i) => attention_mask[row]![i] === 1), max_new_tokens, null), outputs[row]!)
    }))
    await Promise.all(runs)
  })

  for (const name of ADAPTERS) {
    test(`adapter ${name}, prompt by prompt`, async context => {
      const prompt = prompts.get(name)
      if (prompt === undefined) return context.skip(`no ${name} in the fixtures`)
      const { served: { one_by_one: references } } = json<{ served: { one_by_one: Reference[] } }>('peft', name, 'case.json')
      const { input_ids, max_new_tokens } = json<{ serve: { input_ids: number[][], max_new_tokens: number } }>('batches.json').serve
      assert.equal(input_ids.length, references.length)
      for (const [index, reference] of references.entries()) check(await answer(input_ids[index]!, max_new_tokens, prompt), reference)
    })
  }

  test('one batch whose rows use different adapters', async () => {
    const { rows, max_new_tokens } = json<{ max_new_tokens: number, rows: Array<Reference & { adapter: string | null, input_ids: number[] }> }>('mixed_batch.json')
    assert.ok(rows.length > 1)
    await Promise.all(rows.map(async row => {
      // peft/NAME/adapter
      const prompt = row.adapter === null ? null : prompts.get(row.adapter.split('/')[1]!)!
      check(await answer(row.input_ids, max_new_tokens, prompt), row)
    }))
  })
})
