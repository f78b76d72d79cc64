import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Config, loadConfig } from '../../config.js'
import { type Base, openBase } from '../../model/base.js'
import { basesFolder, makeCurrent } from '../../model/current-base.js'
import type { ImportProgress } from '../../model/import.js'
import { endWithSupervisor } from '../../supervisor/end-with-supervisor.js'
import { UsageError, positionals, type Verb } from '../verb.js'

export const verb: Verb = {
  usage: 'permafrost base add [SOURCE] | list | inspect NAME [--json]\n\nSOURCE is a GGUF file or a Hugging Face folder of the Llama family; absent: PERMAFROST_BASE, else SmolLM2-135M-Instruct,\nwhich is fetched. Processes that start without BASE_FOLDER take the base that was added last. NAME is a name or digest\nfrom the list.',
  speaksPlainly: true,
  async run (args) {
    endWithSupervisor()
    const { values, positionals: [action, ...rest] } = parseArgs({ args: [...args], allowPositionals: true, options: { json: { type: 'boolean', default: false } } })
    const config = loadConfig(process.env)
    switch (action) {
      case 'add': {
        const [source] = rest.length === 0 ? [] : positionals(rest, 'SOURCE')
        show(await add(source, config), values.json)
        return 0
      }
      case 'list': {
        positionals(rest)
        const bases = await installed(config)
        if (values.json) console.log(JSON.stringify(bases.map(summary)))
        else for (const base of bases) console.log(`${base.manifest.name}\t${base.manifest.digest}`)
        return 0
      }
      case 'inspect': {
        const [name] = positionals(rest, 'NAME')
        const base = (await installed(config)).find(({ manifest }) => manifest.name === name || manifest.digest === name)
        if (base === undefined) {
          console.error(`there is no base ${name ?? ''} under ${config.PERMAFROST_HOME}`)
          return 1
        }
        show(base, values.json)
        return 0
      }
      default: throw new UsageError(action === undefined ? 'say what to do with the bases' : `"${action}" is nothing to do with a base`)
    }
  }
}

async function add (source: string | undefined, config: Config): Promise<Base> {
  const { importBase } = await import('../../model/import.js')
  const { baseSource } = await import('../../supervisor/base-model.js')
  const base = await importBase(source ?? await baseSource(config, line => console.error(line)), config.PERMAFROST_HOME, phaseLines())
  await makeCurrent(base, config.PERMAFROST_HOME)
  return base
}

/** One line on stderr when a phase ends, with its time. */
function phaseLines (): ImportProgress {
  let begun = performance.now()
  let current = ''
  return (phase, done, total) => {
    if (phase !== current) begun = performance.now()
    current = phase
    if (done < total) return
    console.error(`import, ${phase}: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
    current = ''
  }
}

async function installed (config: Config): Promise<Base[]> {
  const folder = basesFolder(config.PERMAFROST_HOME)
  const names = await readdir(folder).then(names => names.filter(name => /^[0-9a-f]{64}$/.test(name)), () => [])
  return await Promise.all(names.map(async name => await openBase(join(folder, name))))
}

function summary ({ folder, manifest }: Base): object {
  return { name: manifest.name, digest: manifest.digest, folder, licence: manifest.licence, config: manifest.config, source: manifest.source, serving: manifest.serving, warnings: manifest.warnings }
}

function show (base: Base, json: boolean): void {
  if (json) {
    console.log(JSON.stringify(summary(base)))
    return
  }
  const { manifest: { name, digest, licence, source, config, warnings } } = base
  console.log(`${name}\n  digest   ${digest}\n  folder   ${base.folder}\n  source   ${source.file} (${source.bytes} bytes)\n  licence  ${licence ?? 'not stated'}`)
  console.log(`  size     ${config.numLayers} layers, ${config.hiddenSize} wide, vocabulary of ${config.vocabSize}, context of ${config.contextLength}`)
  for (const warning of warnings) console.log(`  warning  ${warning}`)
}
