/** Reading the reference folders: JSON as Python writes it, tensors as they are, and what lies in a folder. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { floatValues, parseSafetensors } from '../../src/model/safetensors.js'
import type { Checks } from './ledger.js'

export interface Tensor { readonly shape: readonly number[], readonly values: Float32Array }

/** Python writes NaN and Infinity as bare words, which JSON does not have; they become null. */
export function readJson<T> (...path: string[]): T {
  const text = readFileSync(join(...path), 'utf8')
  return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, found => found.startsWith('"') ? found : 'null')) as T
}

/** All tensors of a safetensors file as float32. Padding positions of recorded logits may hold NaN, so no value is refused. */
export function readTensors (...path: string[]): ReadonlyMap<string, Tensor> {
  const bytes = readFileSync(join(...path))
  return new Map([...parseSafetensors(bytes).tensors].map(([name, entry]) => [name, { shape: entry.shape, values: floatValues(name, entry, bytes.subarray(entry.offset, entry.offset + entry.bytes)) }]))
}

/** @throws Error naming the tensor */
export function tensor (tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const found = tensors.get(name)
  if (found === undefined) throw new Error(`the reference has no tensor ${name}`)
  return found
}

export function foldersIn (folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter(name => statSync(join(folder, name)).isDirectory()).sort() : []
}

export function filesIn (folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter(name => statSync(join(folder, name)).isFile()).sort() : []
}

/** A file or folder that no check reads may be a reference of a kind that this version does not know. */
export function refuseStrangers (checks: Checks, folder: string, known: readonly string[]): void {
  for (const name of readdirSync(folder)) {
    if (!known.includes(name)) checks.fail(name, 'a reference of a kind that no check here reads')
  }
}

/** Of a Hugging Face folder; null when it is none. */
export function modelType (folder: string): string | null {
  if (!existsSync(join(folder, 'config.json'))) return null
  const { model_type: type } = readJson<{ model_type?: unknown }>(folder, 'config.json')
  return typeof type === 'string' ? type : null
}

/** Bit for bit, the sign of zero included; lengths too. */
export function sameBits (a: Float32Array, b: Float32Array): boolean {
  const [x, y] = [a, b].map(values => new Uint32Array(values.buffer, values.byteOffset, values.length)) as [Uint32Array, Uint32Array]
  return x.length === y.length && x.every((value, i) => value === y[i])
}

export function sameList (a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}
