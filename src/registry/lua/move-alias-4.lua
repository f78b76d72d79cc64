--[[
  Point an alias at a version of its task, or back to where it pointed before its last move, unless someone moved it
  since the caller read it. A move to where it points already changes nothing.
    KEYS[1] hash: task -> record   KEYS[2] hash: number -> version   KEYS[3] hash: alias -> record   KEYS[4] list of moves
    ARGV[1] task    ARGV[2] alias   ARGV[3] number, '' to go back   ARGV[4] etag the caller saw, '' for any
    ARGV[5] new etag   ARGV[6] time   ARGV[7] who   ARGV[8] alias moves kept
    ARGV[9] channel    ARGV[10] tenant
  Returns {'ok', alias record}, {'task_not_found'}, {'alias_not_found'}, {'alias_moved', current etag or ''},
  {'version_not_found', number}, {'no_previous'} or {'other_schema', schema of the alias}.
]]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {'task_not_found'} end
local json = redis.call('HGET', KEYS[3], ARGV[2])
local old = json and cjson.decode(json)
if old and old.schema ~= 1 then return {'other_schema', tostring(old.schema)} end
if ARGV[4] ~= '' and (not old or old.etag ~= ARGV[4]) then return {'alias_moved', old and old.etag or ''} end

local number = ARGV[3]
if number == '' then
  if not old then return {'alias_not_found'} end
  if old.previous == cjson.null then return {'no_previous'} end
  number = string.format('%d', old.previous)
end
if redis.call('HEXISTS', KEYS[2], number) == 0 then return {'version_not_found', number} end
if old and old.version == tonumber(number) then return {'ok', json} end

local previous = old and old.version or cjson.null
local record = cjson.encode({schema = 1, version = tonumber(number), etag = ARGV[5], movedAt = ARGV[6], previous = previous})
redis.call('HSET', KEYS[3], ARGV[2], record)
redis.call('LPUSH', KEYS[4], cjson.encode({schema = 1, alias = ARGV[2], from = previous, to = tonumber(number), at = ARGV[6], by = ARGV[7]}))
redis.call('LTRIM', KEYS[4], 0, tonumber(ARGV[8]) - 1)
redis.call('PUBLISH', ARGV[9], cjson.encode({type = 'alias', tenant = ARGV[10], task = ARGV[1], alias = ARGV[2], number = tonumber(number)}))
return {'ok', record}
