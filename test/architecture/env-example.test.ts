import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { ConfigSchema } from '../../src/config.js'
import { PROJECT_ROOT } from '../../src/project.js'

/** Each setting with its description; those with a default show it, the others are empty. */
function envExample (): string {
  const settings = Object.entries(ConfigSchema.properties).map(([name, { description = '', default: value, secret }]) =>
    `# ${description}${secret === true ? `; or ${name}_FILE, a file that holds it` : ''}\n#${name}=${value === undefined ? '' : String(value).replace(homedir(), '~')}\n`)
  return `# Every setting, with its default. To use a file like this: set -a; . ./.env; set +a; npm start\n\n${settings.join('\n')}`
}

suite('.env.example', () => {
  test('lists every setting of the schema with its default', async () => {
    assert.equal(await readFile(join(PROJECT_ROOT, '.env.example'), 'utf8'), envExample())
  })
})
