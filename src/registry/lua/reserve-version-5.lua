--[[
  Give out the next version number of a task; a job, or another publisher with a name, gets the same number each time
  it asks. Separate from the publication because the store has to hold the version's record, number included, before the
  index does.
    KEYS[1] hash: task -> record      KEYS[2] hash: task -> last number   KEYS[3] hash: job or name -> number
    KEYS[4] hash: number -> version   KEYS[5] hash of the job
    ARGV[1] task   ARGV[2] job or other name, '' for none
  Returns {'reserved', number}, {'published', number, version}, {'task_not_found'} or {'job_final', state}.
]]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {'task_not_found'} end
if ARGV[2] ~= '' then
  local number = redis.call('HGET', KEYS[3], ARGV[2])
  local version = number and redis.call('HGET', KEYS[4], number)
  if version then return {'published', number, version} end
  if redis.call('HEXISTS', KEYS[5], 'finishedAt') == 1 then return {'job_final', redis.call('HGET', KEYS[5], 'state')} end
  if number then return {'reserved', number} end
end
local number = tostring(redis.call('HINCRBY', KEYS[2], ARGV[1], 1))
if ARGV[2] ~= '' then redis.call('HSET', KEYS[3], ARGV[2], number) end
return {'reserved', number}
