/** The thread of `loadVocabulary`. */
import { parentPort, workerData } from 'node:worker_threads'
import { loadTokenBytes } from '../model/token-bytes.js'
import { vocabularyOf } from './vocabulary.js'

export interface VocabularyThreadData { readonly baseFolder: string, readonly size: number }

const { baseFolder, size } = workerData as VocabularyThreadData
parentPort?.postMessage(vocabularyOf(await loadTokenBytes(baseFolder), size))
