import { parseArgs } from 'node:util'
import { openClient } from '../running-service.js'
import { UsageError, positionals, type Verb } from '../verb.js'

interface Alias { readonly alias: string, readonly version: number, readonly etag: string, readonly moved_at: string }
interface Move { readonly from: number | null, readonly to: number, readonly at: string, readonly by: string }

export const verb: Verb = {
  usage: 'permafrost alias set TASK ALIAS VERSION | rollback TASK ALIAS | history TASK ALIAS [--json]',
  async run (args) {
    const { values, positionals: [action, ...rest] } = parseArgs({ args: [...args], allowPositionals: true, options: { json: { type: 'boolean', default: false } } })
    switch (action) {
      case 'set': {
        const [task, alias, version] = positionals(rest, 'TASK', 'ALIAS', 'VERSION')
        if (!/^[1-9]\d*$/.test(version!)) throw new UsageError(`VERSION is a number, not "${version ?? ''}"`)
        showAlias(await (await openClient()).put<Alias>(pathOf(task!, alias!), { version: Number(version) }), values.json)
        return 0
      }
      case 'rollback': {
        const [task, alias] = positionals(rest, 'TASK', 'ALIAS')
        showAlias(await (await openClient()).post<Alias>(`${pathOf(task!, alias!)}/rollback`), values.json)
        return 0
      }
      case 'history': {
        const [task, alias] = positionals(rest, 'TASK', 'ALIAS')
        const { data } = await (await openClient()).get<{ data: Move[] }>(`${pathOf(task!, alias!)}/history`)
        if (values.json) console.log(JSON.stringify(data))
        else for (const move of data) console.log(`${move.at}  ${move.from ?? 'nothing'} -> ${move.to}  by ${move.by}`)
        return 0
      }
      default: throw new UsageError(action === undefined ? 'say what to do with the alias' : `"${action}" is nothing to do with an alias`)
    }
  }
}

function pathOf (task: string, alias: string): string {
  return `/v1/tasks/${encodeURIComponent(task)}/aliases/${encodeURIComponent(alias)}`
}

function showAlias (alias: Alias, json: boolean): void {
  console.log(json ? JSON.stringify(alias) : `${alias.alias} -> version ${alias.version}`)
}
