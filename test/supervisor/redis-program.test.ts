import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { findOrInstallRedis, type Machine } from '../../src/supervisor/redis-program.js'

/** A machine with the given programs; `installs` is what a successful install command adds to PATH. */
function machine (options: { programs: string[], root?: boolean, sudo?: boolean, failures?: number, installs?: string }): Machine & { readonly commands: string[] } {
  const programs = new Set(options.programs)
  const commands: string[] = []
  let failures = options.failures ?? 0
  return {
    commands,
    onPath: program => programs.has(program),
    isRoot: () => options.root === true,
    run ([...command]) {
      commands.push(command.join(' '))
      if (command[0] === 'sudo' && command[2] === 'true') return options.sudo === true
      if (!command.includes('install') && !command.includes('add')) return true
      if (failures-- > 0) return false
      programs.add(options.installs ?? 'redis-server')
      return true
    }
  }
}

suite('findOrInstallRedis()', () => {
  test('takes redis-server, then valkey-server, without asking anyone', () => {
    const both = machine({ programs: ['valkey-server', 'redis-server', 'apt-get'] })
    assert.equal(findOrInstallRedis(() => {}, both), 'redis-server')
    assert.equal(findOrInstallRedis(() => {}, machine({ programs: ['valkey-server'] })), 'valkey-server')
    assert.deepEqual(both.commands, [])
  })

  test('root installs with apt-get, refreshing the lists when the first try fails, and says so', () => {
    const debian = machine({ programs: ['apt-get'], root: true, failures: 1 })
    const lines: string[] = []
    assert.equal(findOrInstallRedis(line => lines.push(line), debian), 'redis-server')
    assert.deepEqual(debian.commands, [
      'apt-get install -y --no-install-recommends redis-server',
      'apt-get update',
      'apt-get install -y --no-install-recommends redis-server'
    ])
    assert.match(lines.join('\n'), /installing it: apt-get install/)
  })

  test('a package that brings valkey-server is as good', () => {
    assert.equal(findOrInstallRedis(() => {}, machine({ programs: ['dnf'], root: true, installs: 'valkey-server' })), 'valkey-server')
  })

  test('uses sudo only when it asks for no password', () => {
    const permitted = machine({ programs: ['apt-get', 'sudo'], sudo: true })
    assert.equal(findOrInstallRedis(() => {}, permitted), 'redis-server')
    assert.match(permitted.commands[1] ?? '', /^sudo -n env .*apt-get install/)

    const refused = machine({ programs: ['apt-get', 'sudo'] })
    assert.throws(() => findOrInstallRedis(() => {}, refused), /type: sudo apt-get install -y --no-install-recommends redis-server$/)
    assert.equal(refused.commands.length, 1)
  })

  test('without a package manager the message says what to do', () => {
    assert.throws(() => findOrInstallRedis(() => {}, machine({ programs: [] })), /install one, or set REDIS_URL/)
  })
})
