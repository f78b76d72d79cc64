--[[
  Find the version that a reference means, in one round trip: no cache can be stale where there is none.
    KEYS[1] hash: task -> record   KEYS[2] hash: number -> version   KEYS[3] hash: alias -> record
    ARGV[1] task   ARGV[2] alias, '' when the number is given   ARGV[3] number, '' when the alias is given
  Returns {'ok', task record, number, version record}, {'task_not_found'}, {'alias_not_found'}, {'version_not_found'} or
  {'other_schema', schema of the alias}.
]]
local task = redis.call('HGET', KEYS[1], ARGV[1])
if not task then return {'task_not_found'} end
local number = ARGV[3]
if number == '' then
  local json = redis.call('HGET', KEYS[3], ARGV[2])
  if not json then return {'alias_not_found'} end
  local alias = cjson.decode(json)
  if alias.schema ~= 1 then return {'other_schema', tostring(alias.schema)} end
  number = string.format('%d', alias.version)
end
local version = redis.call('HGET', KEYS[2], number)
if not version then return {'version_not_found'} end
return {'ok', task, number, version}
