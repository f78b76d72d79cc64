import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** Every setting of every process. All come from the environment; `.env.example` lists them and a test compares. */
export const ConfigSchema = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', description: 'address the api listens on' }),
  PORT: Type.Integer({ default: 8080, minimum: 0, maximum: 65535, description: 'port the api listens on; 0 takes a free one' }),
  LOG_LEVEL: Type.Union([Type.Literal('trace'), Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error'), Type.Literal('silent')], { default: 'info', description: 'pino level of every process' }),
  PERMAFROST_HOME: Type.String({ default: join(homedir(), '.permafrost'), description: 'data: base models, artifacts, files, the private Redis, the first API key' }),
  PERMAFROST_BASE: Type.Optional(Type.String({ description: 'a GGUF file or Hugging Face folder of the Llama family; absent: SmolLM2-135M-Instruct' })),
  BASE_FOLDER: Type.Optional(Type.String({ description: 'imported base folder, set by `start`' })),
  REDIS_URL: Type.Optional(Type.String({ description: 'absent: `start` runs a private redis-server' })),
  ARTIFACT_STORE: Type.Optional(Type.String({ pattern: '^file:', description: 'file:/folder; absent: the folder store under PERMAFROST_HOME' })),
  INFERENCE_URL: Type.Optional(Type.String({ description: 'unix:/path/to.sock or http://host:port of the inference process; absent: a socket under PERMAFROST_HOME' })),
  INFERENCE_THREADS: Type.Integer({ default: 0, minimum: 0, maximum: 256, description: 'intra-op threads of the engine; 0: one for each core' }),
  TRAINING_THREADS: Type.Integer({ default: 0, minimum: 0, maximum: 256, description: 'intra-op threads of a training job; 0: one for each core' }),
  WORKERS: Type.Integer({ default: 1, minimum: 0, maximum: 64, description: 'worker processes that `start` runs' }),
  KV_SLOTS: Type.Integer({ default: 16, minimum: 1, maximum: 512, description: 'sequences that decode at once' }),
  MAX_CONTEXT: Type.Integer({ default: 1024, minimum: 16, maximum: 131072, description: 'positions of a slot, prompt and answer together; capped by the base' }),
  PROMPT_CACHE_BYTES: Type.Integer({ default: 512 * 1024 * 1024, minimum: 1024 * 1024, description: 'compiled prefixes kept in memory' }),
  MAX_QUEUE: Type.Integer({ default: 256, minimum: 0, description: 'requests that wait for a slot before 503' }),
  MAX_FILE_BYTES: Type.Integer({ default: 100 * 1024 * 1024, minimum: 1024, description: 'largest JSONL upload' }),
  SERVING_GRAPH: Type.Union([Type.Literal('w8a8'), Type.Literal('float32')], { default: 'w8a8', description: 'number format of the serving graph' }),
  HF_ENDPOINT: Type.String({ default: 'https://huggingface.co', description: 'as in Hugging Face tools' }),
  HF_TOKEN: Type.Optional(Type.String({ description: 'as in Hugging Face tools' })),
  PERMAFROST_URL: Type.Optional(Type.String({ description: 'command line: the server; absent: the one started on this machine' })),
  PERMAFROST_API_KEY: Type.Optional(Type.String({ description: 'command line: the key; absent: the key file under PERMAFROST_HOME' })),
  PERMAFROST_SHARED: Type.String({ default: '../shared', description: 'tests and benchmarks: data sets and models' }),
  PERMAFROST_FIXTURES: Type.Optional(Type.String({ description: 'tests and benchmarks: reference numbers; absent: fixtures/open under PERMAFROST_SHARED' }))
})
export type Config = Readonly<Static<typeof ConfigSchema>>

export class ConfigError extends Error { override readonly name = 'ConfigError' }

/**
 * Read the environment once. Unknown variables are ignored (an environment is full of them), empty ones count as absent.
 * @throws ConfigError naming every bad variable, not only the first.
 */
export function loadConfig (env: NodeJS.ProcessEnv): Config {
  const present = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const value = Value.Convert(ConfigSchema, Value.Default(ConfigSchema, Value.Clean(ConfigSchema, present)))
  const problems = [...Value.Errors(ConfigSchema, value)].map(error => `${error.path.slice(1)}: ${error.message}`)
  if (problems.length > 0) throw new ConfigError(`bad configuration\n  ${[...new Set(problems)].join('\n  ')}`)
  return Object.freeze(value as Config)
}
