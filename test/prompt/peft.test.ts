import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { floatValues, parseSafetensors } from '../../src/model/safetensors.js'
import type { ArtifactFiles } from '../../src/prompt/artifact.js'
import { peftConfig, readPeftAdapter } from '../../src/prompt/peft.js'
import { fixturesFolder } from '../support/shared.js'

function readFolder (folder: string): ArtifactFiles {
  return new Map(readdirSync(folder).filter(name => statSync(join(folder, name)).isFile()).map(name => [name, readFileSync(join(folder, name))]))
}

function readJson<T = Record<string, unknown>> (...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), 'utf8')) as T
}

suite('adapters saved by PEFT', () => {
  const models = ['llama', ...['variants'].flatMap(group => {
    const folder = fixturesFolder(group)
    return folder === null ? [] : readdirSync(folder).filter(name => name.startsWith('llama')).map(name => join(group, name))
  })]
  for (const model of models) {
    const folder = fixturesFolder(model, 'peft')
    test(basename(model), { skip: folder === null && 'no reference data (PERMAFROST_FIXTURES)' }, () => {
      const config = readJson(fixturesFolder(model, 'model', 'config.json')!)
      const numHeads = config['num_attention_heads'] as number
      const hiddenSize = config['hidden_size'] as number
      const shape = { hiddenSize, numLayers: config['num_hidden_layers'] as number, numHeads, numKvHeads: (config['num_key_value_heads'] as number | undefined) ?? numHeads, headSize: (config['head_dim'] as number | undefined) ?? hiddenSize / numHeads }
      for (const method of readdirSync(folder!).filter(name => /^(prompt|prefix)/.test(name))) {
        const saved = readJson(folder!, method, 'adapter', 'adapter_config.json')
        const adapter = readPeftAdapter(readFolder(join(folder!, method, 'adapter')), shape)
        assert.equal(adapter.method, method.startsWith('prompt') ? 'prompt-tuning' : 'prefix-tuning')
        assert.equal(adapter.numVirtualTokens, saved['num_virtual_tokens'])
        const output = readFileSync(join(folder!, method, 'encoder_output.safetensors'))
        const entry = parseSafetensors(output).tensors.get('final')!
        assert.deepEqual(adapter.embeddings, floatValues('final', entry, output.subarray(entry.offset, entry.offset + entry.bytes)))
        if (method === 'prompt_random' || method === 'prefix') {
          assert.deepEqual(peftConfig(adapter.method, adapter.numVirtualTokens, saved['base_model_name_or_path'] as string, shape), saved)
        }
      }
    })
  }
})

suite('malformed adapters', () => {
  const folder = fixturesFolder('malformed')
  if (folder === null) {
    test('none here', { skip: 'no reference data (PERMAFROST_FIXTURES)' }, () => {})
    return
  }
  const { entries } = readJson<{ entries: Array<{ path: string, kind: string, expect: string }> }>(folder, 'manifest.json')
  const control = readJson<Record<string, number>>(folder, 'adapters', 'control_prefix', 'adapter_config.json')
  const heads = control['num_attention_heads']!
  const shape = { hiddenSize: control['token_dim']!, numLayers: control['num_layers']!, numKvHeads: heads, headSize: control['token_dim']! / heads }
  const read = (path: string) => readPeftAdapter(readFolder(join(folder, path)), shape)
  for (const { path, expect } of entries.filter(entry => entry.kind === 'adapter')) {
    test(`${expect}: ${path}`, context => {
      if (expect === 'accept') assert.doesNotThrow(() => read(path))
      else {
        assert.throws(() => read(path), (error: unknown) => {
          context.diagnostic(String(error))
          return error instanceof ServiceError && (error.code === 'malformed_artifact' || error.code === 'not_finite')
        })
      }
    })
  }
})
