--[[
  Enter a version in the index, move the alias, append the job's event and tell everyone. A job that was published
  before changes nothing; a job that has ended without publishing is refused.
    KEYS[1] hash: task -> record     KEYS[2] hash: number -> version   KEYS[3] hash: alias -> record
    KEYS[4] list of alias moves      KEYS[5] hash of the job           KEYS[6] stream of the job
    ARGV[1] task      ARGV[2] number, as reserved   ARGV[3] version record   ARGV[4] job, '' for none
    ARGV[5] alias, '' for none       ARGV[6] new etag       ARGV[7] time     ARGV[8] who
    ARGV[9] event of the job         ARGV[10] longest stream
    ARGV[11] channel  ARGV[12] message about the version    ARGV[13] message about the alias
    ARGV[14] alias moves kept
  Returns {'ok'}, {'published', version record}, {'task_not_found'}, {'job_final', state} or {'other_schema', schema of the alias}.
]]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {'task_not_found'} end
local published = redis.call('HGET', KEYS[2], ARGV[2])
if published then return {'published', published} end
if ARGV[4] ~= '' and redis.call('HEXISTS', KEYS[5], 'finishedAt') == 1 then
  return {'job_final', redis.call('HGET', KEYS[5], 'state')}
end
local json = ARGV[5] ~= '' and redis.call('HGET', KEYS[3], ARGV[5])
local old = json and cjson.decode(json)
if old and old.schema ~= 1 then return {'other_schema', tostring(old.schema)} end

redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if ARGV[5] ~= '' then
  local number = tonumber(ARGV[2])
  local previous = old and old.version or cjson.null
  redis.call('HSET', KEYS[3], ARGV[5], cjson.encode({schema = 1, version = number, etag = ARGV[6], movedAt = ARGV[7], previous = previous}))
  redis.call('LPUSH', KEYS[4], cjson.encode({schema = 1, alias = ARGV[5], from = previous, to = number, at = ARGV[7], by = ARGV[8]}))
  redis.call('LTRIM', KEYS[4], 0, tonumber(ARGV[14]) - 1)
end
-- A version may come from a job of another registry; it has no record here and gets none.
if ARGV[4] ~= '' and redis.call('EXISTS', KEYS[5]) == 1 then
  redis.call('HSET', KEYS[5], 'version', ARGV[2])
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[10], '*', 'event', ARGV[9])
end
redis.call('PUBLISH', ARGV[11], ARGV[12])
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[11], ARGV[13]) end
return {'ok'}
