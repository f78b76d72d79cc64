const OLDEST_NODE = [20, 11]

/**
 * Null where Permafrost runs, else the one line that says why it does not.
 * @param {Pick<NodeJS.Process, 'platform' | 'arch' | 'versions' | 'report'>} host
 */
export function platformProblem (host) {
  const [major, minor] = host.versions.node.split('.').map(Number)
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    return `Permafrost needs Node.js ${OLDEST_NODE.join('.')} or newer; this is ${host.versions.node}.`
  }
  const supported = 'Permafrost runs on Linux with glibc, on x64 and arm64'
  if (host.platform !== 'linux') return `${supported}; this is ${host.platform}.`
  if (host.arch !== 'x64' && host.arch !== 'arm64') return `${supported}; this is ${host.arch}.`
  if (host.report.getReport().header.glibcVersionRuntime === undefined) return `${supported}; this system has another C library (musl?).`
  return null
}
