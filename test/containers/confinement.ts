/** What a process in the image may do: nothing but write to its volume and to memory. */
import type { Container } from './container.js'

/** One line for each fact; run inside the container. */
const PROBE = `
echo "user $(id -u)"
echo "capabilities $(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
for folder in / /app /app/dist /bin /etc /home /lib /opt /root /run /srv /usr /usr/local /var /var/lib /var/log /var/tmp; do
  [ -d "$folder" ] && (: > "$folder/.probe") 2>/dev/null && echo "writes $folder"
done
(: > "$PERMAFROST_HOME/.probe") && echo volume && rm "$PERMAFROST_HOME/.probe"
(: > /tmp/.probe) && echo tmp
grep -q ' / [^ ]* ro' /proc/mounts && echo readonly
true`

/** @throws Error naming what is allowed and should not be */
export async function checkConfinement (container: Container): Promise<string> {
  const { code, stdout, stderr } = await container.exec(['sh', '-c', PROBE])
  const facts = stdout.trim().split('\n')
  const user = Number(facts.find(fact => fact.startsWith('user '))?.slice(5))
  const capabilities = Number.parseInt(facts.find(fact => fact.startsWith('capabilities '))?.slice(13) ?? 'f', 16)
  const written = facts.filter(fact => fact.startsWith('writes ')).map(fact => fact.slice(7))
  const line = `${container.plan.name}: user ${user}, ${capabilities === 0 ? 'no capability' : `capabilities ${capabilities}`}, root ${facts.includes('readonly') ? 'read-only' : 'writable'}, writes to ${written.length === 0 ? 'its volume and /tmp alone' : written.join(', ')}`
  if (code !== 0 || user === 0 || capabilities !== 0 || written.length > 0 || !['readonly', 'volume', 'tmp'].every(fact => facts.includes(fact))) throw new Error(`${line}\n${stdout}${stderr}`)
  return line
}
