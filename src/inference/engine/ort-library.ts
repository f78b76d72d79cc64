/**
 * ONNX Runtime's C API, called through koffi in the library that onnxruntime-node ships. The API is a table of
 * functions whose order is the ABI: entries are appended, never moved (onnxruntime_c_api.h), so an index stays valid.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { PROJECT_ROOT } from '../../project.js'
import { koffi } from './koffi.js'

/** An address; null and 0n both mean none. */
export type Pointer = bigint | null

const API_VERSION = 24
const TABLE_LENGTH = 168
const P = 'void *'
const OUT = '_Out_ void **'

/** ONNXTensorElementDataType */
export const ELEMENT = { float32: 1, int32: 6, int64: 7 } as const
const ELEMENT_BYTES: Readonly<Record<number, number>> = { 1: 4, 6: 4, 7: 8 }
const ENABLE_ALL_OPTIMISATIONS = 99
const LOG_ERRORS_ONLY = 3
const DEVICE_ALLOCATOR = 0
const DEFAULT_MEMORY = 0

type Status = Pointer
type Done = (error: unknown, status: Status) => void
type Creates<A extends unknown[]> = (...args: [...A, out: Pointer[]]) => Status

/** The file of the library for this machine. @throws Error when the package has none. */
export function libraryFile (): string {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'))
  const file = join(root, 'bin', 'napi-v6', process.platform, process.arch, 'libonnxruntime.so.1')
  if (!existsSync(file)) throw new Error(`onnxruntime-node has no library for ${process.platform} ${process.arch}`)
  return file
}

/** The version the project pins: the one whose table these indices were read from. */
function pinnedVersion (): string {
  const { dependencies } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  return dependencies['onnxruntime-node']!
}

/** The functions of the table that serving uses, as checked calls. One for each process is enough. */
export class OrtLibrary {
  readonly version: string
  /** Held for its lifetime alone: the functions below do not keep the library loaded, and collected it is unloaded. */
  readonly library: unknown
  readonly #getErrorMessage: (status: Pointer) => string
  readonly #releaseStatus: (status: Pointer) => void
  readonly #createEnv: Creates<[level: number, name: string]>
  readonly #createSession: { async: (env: Pointer, file: string, options: Pointer, out: Pointer[], done: Done) => void }
  readonly #createSessionOptions: Creates<[]>
  readonly #setOptimisation: (options: Pointer, level: number) => Status
  readonly #setIntraOpThreads: (options: Pointer, threads: number) => Status
  readonly #setInterOpThreads: (options: Pointer, threads: number) => Status
  readonly #createRunOptions: Creates<[]>
  readonly #createTensor: Creates<[memory: Pointer, data: Pointer, bytes: number, dims: BigInt64Array, rank: number, element: number]>
  readonly #createCpuMemoryInfo: Creates<[allocator: number, memory: number]>
  readonly #addConfigEntry: (options: Pointer, key: string, value: string) => Status
  readonly #runWithBinding: { async: (session: Pointer, options: Pointer, binding: Pointer, done: Done) => void }
  readonly #createIoBinding: Creates<[session: Pointer]>
  readonly #bindInput: (binding: Pointer, name: string, value: Pointer) => Status
  readonly #bindOutput: (binding: Pointer, name: string, value: Pointer) => Status
  readonly release: Readonly<Record<'env' | 'memoryInfo' | 'session' | 'value' | 'runOptions' | 'sessionOptions' | 'ioBinding', (pointer: Pointer) => void>>

  /** @throws Error when the library cannot be loaded or is not the pinned version. */
  constructor (file = libraryFile()) {
    const library = koffi.load(file)
    this.library = library
    const base = library.func('OrtGetApiBase', P, [])() as Pointer
    const [getApi, getVersion] = koffi.decode(base, koffi.array(P, 2)) as [Pointer, Pointer]
    this.version = koffi.call(getVersion, koffi.proto('const char *()')) as string
    if (this.version !== pinnedVersion()) throw new Error(`ONNX Runtime ${this.version} is installed, this version of the project needs ${pinnedVersion()}`)
    const api = koffi.call(getApi, koffi.proto(P, ['uint32_t']), API_VERSION) as Pointer
    const table = koffi.decode(api, koffi.array(P, TABLE_LENGTH)) as Pointer[]
    const entry = <F>(index: number, result: string, args: string[]): F => koffi.decode(table[index], koffi.proto(result, args)) as F
    const releaser = (index: number): (pointer: Pointer) => void => entry(index, 'void', [P])

    this.#getErrorMessage = entry(2, 'str', [P])
    this.#createEnv = entry(3, P, ['int', 'str', OUT])
    this.#createSession = entry(7, P, [P, 'str', P, OUT])
    this.#createSessionOptions = entry(10, P, [OUT])
    this.#setOptimisation = entry(23, P, [P, 'int'])
    this.#setIntraOpThreads = entry(24, P, [P, 'int'])
    this.#setInterOpThreads = entry(25, P, [P, 'int'])
    this.#createRunOptions = entry(39, P, [OUT])
    this.#createTensor = entry(49, P, [P, P, 'size_t', P, 'size_t', 'int', OUT])
    this.#createCpuMemoryInfo = entry(69, P, ['int', 'int', OUT])
    this.#releaseStatus = releaser(93)
    this.#addConfigEntry = entry(130, P, [P, 'str', 'str'])
    this.#runWithBinding = entry(133, P, [P, P, P])
    this.#createIoBinding = entry(134, P, [P, OUT])
    this.#bindInput = entry(136, P, [P, 'str', P])
    this.#bindOutput = entry(137, P, [P, 'str', P])
    this.release = {
      env: releaser(92), memoryInfo: releaser(94), session: releaser(95), value: releaser(96), runOptions: releaser(97), sessionOptions: releaser(100), ioBinding: releaser(135)
    }
  }

  createEnv (name: string): Pointer {
    return this.#make(this.#createEnv, LOG_ERRORS_ONLY, name)
  }

  createCpuMemoryInfo (): Pointer {
    return this.#make(this.#createCpuMemoryInfo, DEVICE_ALLOCATOR, DEFAULT_MEMORY)
  }

  createRunOptions (): Pointer {
    return this.#make(this.#createRunOptions)
  }

  /** On a pool thread, as it takes seconds. @throws Error for a graph that ONNX Runtime refuses */
  async createSession (env: Pointer, file: string, threads: number, entries: Readonly<Record<string, string>>): Promise<Pointer> {
    const options = this.#make(this.#createSessionOptions)
    try {
      this.#check(this.#setIntraOpThreads(options, threads))
      this.#check(this.#setInterOpThreads(options, 1))
      this.#check(this.#setOptimisation(options, ENABLE_ALL_OPTIMISATIONS))
      for (const [key, value] of Object.entries(entries)) this.#check(this.#addConfigEntry(options, key, value))
      const out: Pointer[] = [null]
      await this.#async(done => this.#createSession.async(env, file, options, out, done))
      return out[0]!
    } finally {
      this.release.sessionOptions(options)
    }
  }

  /** A value over memory that the caller keeps alive and that must hold all of `dims`. */
  createTensor (memoryInfo: Pointer, element: number, data: bigint, dims: readonly number[]): Pointer {
    const bytes = dims.reduce((product, dim) => product * dim, ELEMENT_BYTES[element]!)
    return this.#make(this.#createTensor, memoryInfo, data, bytes, BigInt64Array.from(dims, BigInt), dims.length, element)
  }

  createIoBinding (session: Pointer): Pointer {
    return this.#make(this.#createIoBinding, session)
  }

  bindInput (binding: Pointer, name: string, value: Pointer): void {
    this.#check(this.#bindInput(binding, name, value))
  }

  bindOutput (binding: Pointer, name: string, value: Pointer): void {
    this.#check(this.#bindOutput(binding, name, value))
  }

  /** On a thread of libuv's pool: the event loop is free meanwhile. @throws Error with ONNX Runtime's message */
  runWithBinding (session: Pointer, runOptions: Pointer, binding: Pointer): Promise<void> {
    return this.#async(done => this.#runWithBinding.async(session, runOptions, binding, done))
  }

  #async (call: (done: Done) => void): Promise<void> {
    return new Promise((resolve, reject) => call((error, status) => {
      try {
        if (error) throw error
        this.#check(status)
        resolve()
      } catch (failure) {
        reject(failure instanceof Error ? failure : new Error(String(failure)))
      }
    }))
  }

  #check (status: Status): void {
    if (!status) return
    const message = this.#getErrorMessage(status)
    this.#releaseStatus(status)
    throw new Error(`ONNX Runtime: ${message}`)
  }

  #make<A extends unknown[]> (create: Creates<A>, ...args: A): Pointer {
    const out: Pointer[] = [null]
    this.#check(create(...args, out))
    return out[0]!
  }
}
