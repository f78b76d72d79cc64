/** GGUF files of architecture `llama`: metadata to configuration, tensors to Hugging Face names and row order. */
import { closeSync, openSync } from 'node:fs'
import { MalformedModelError } from '../errors.js'
import { readRange } from './byte-reader.js'
import { dequantise } from './dequantise.js'
import { firstNonFinite, nonFiniteReport } from './float-formats.js'
import { GGML_LAYOUTS } from './ggml-types.js'
import { ggufLlamaConfig } from './gguf-config.js'
import { readGguf } from './gguf.js'
import type { Gguf } from './gguf.js'
import { expectShape } from './gguf-tensors.js'
import type { GgufTensor } from './gguf-tensors.js'
import { shown } from './gguf-values.js'
import { llamaTensors } from './llama-tensors.js'
import type { WeightSource } from './weight-source.js'

const LAYER_PARTS: Readonly<Record<string, string>> = {
  'input_layernorm': 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'post_attention_layernorm': 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down'
}
const OUTSIDE_LAYERS: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight'
}
const ROPE_FREQS = 'rope_freqs.weight'

/** llama.cpp's name of a Hugging Face tensor. */
export function ggufName (name: string): string {
  const layer = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name)
  const part = layer === null ? OUTSIDE_LAYERS[name] : LAYER_PARTS[layer[2]!]
  if (part === undefined) throw new Error(`internal: ${name} has no GGUF name`)
  return layer === null ? part : `blk.${layer[1]}.${part}.weight`
}

export interface GgufSource extends WeightSource { readonly gguf: Gguf }

/** @throws MalformedModelError naming the key or the tensor and what it should be */
export function openGgufLlama (path: string): GgufSource {
  const gguf = readGguf(path)
  const fd = openSync(path, 'r')
  try {
    const tensor = (name: string): Float32Array => readTensor(fd, gguf.tensors.get(name)!)
    const ropeFreqs = gguf.tensors.has(ROPE_FREQS) ? tensor(ROPE_FREQS) : null
    const { config, name, licence, warnings } = ggufLlamaConfig(gguf, ropeFreqs)
    const unused = checkTensors(gguf, config)
    const permuted = new Map([['self_attn.q_proj', config.numHeads], ['self_attn.k_proj', config.numKvHeads]])
    return {
      gguf, config, name, licence,
      warnings: [...gguf.warnings, ...warnings, ...unused],
      read (hfName) {
        const values = tensor(ggufName(hfName))
        const heads = permuted.get(/self_attn\.[qk]_proj/.exec(hfName)?.[0] ?? '')
        return heads === undefined ? values : toHalves(values, heads, config.headSize)
      },
      close: () => { closeSync(fd) }
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function readTensor (fd: number, { name, type, offset, bytes }: GgufTensor): Float32Array {
  const values = dequantise(readRange(fd, offset, bytes), type)
  const first = firstNonFinite(values)
  if (first >= 0) {
    const { blockValues } = GGML_LAYOUTS[type]
    // Every quant is finite, so a value that is not comes from its block's scale or minimum.
    const cause = blockValues === 1 ? '' : `: the scale of block ${Math.floor(first / blockValues)} of ${type} is not finite, nor are its ${blockValues} values`
    throw new MalformedModelError(`${shown(name)} contains ${nonFiniteReport(values, first)}${cause}`)
  }
  return values
}

/** @returns warnings about tensors that nothing reads */
function checkTensors (gguf: Gguf, config: GgufSource['config']): string[] {
  const used = new Set([ROPE_FREQS])
  for (const { name, shape } of llamaTensors(config)) {
    const key = ggufName(name)
    const because = key.startsWith('blk.') ? `llama.block_count is ${config.numLayers}` : ''
    const assumedHeads = /^blk\.\d+\.attn_[kv]\./.test(key) && !gguf.metadata.has('llama.attention.head_count_kv')
    expectShape(gguf.tensors, key, shape, assumedHeads ? `llama.attention.head_count_kv is missing, which means ${config.numKvHeads} heads` : because)
    used.add(key)
  }
  const warnings: string[] = []
  for (const name of gguf.tensors.keys()) {
    if (used.has(name)) continue
    const layer = /^blk\.(\d+)\./.exec(name)
    // Llama has no such part, so the file is of a model that computes something else.
    if (name.endsWith('.bias') || (layer !== null && Number(layer[1]) < config.numLayers)) {
      throw new MalformedModelError(`tensor ${shown(name)} is not supported: a Llama layer has ${Object.values(LAYER_PARTS).join(', ')} without biases`)
    }
    warnings.push(`unused tensor ${shown(name)} is ignored`)
  }
  return warnings
}

/**
 * llama.cpp rotates neighbouring rows (2j, 2j+1) of each head, Hugging Face rows (j, j + headSize/2): its converter
 * interleaves the halves, this puts them back.
 */
function toHalves (values: Float32Array, heads: number, headSize: number): Float32Array {
  const columns = values.length / (heads * headSize)
  const half = headSize / 2
  const out = new Float32Array(values.length)
  for (let head = 0; head < heads; head++) {
    for (let row = 0; row < headSize; row++) {
      const from = (head * headSize + row) * columns
      const to = head * headSize + (row >> 1) + (row & 1) * half
      out.set(values.subarray(from, from + columns), to * columns)
    }
  }
  return out
}
