--[[
  Forget a task with its versions and aliases, unless a job of it is unfinished. The counter of its version numbers stays.
    KEYS[1] hash: task -> record      KEYS[2] set: unfinished jobs of the task   KEYS[3] hash: number -> version
    KEYS[4] hash: job -> number       KEYS[5] hash: alias -> record              KEYS[6] list of alias moves
    ARGV[1] task
  Returns {'ok'}, {'task_not_found'} or {'task_in_use', number of unfinished jobs}.
]]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {'task_not_found'} end
local open = redis.call('SCARD', KEYS[2])
if open > 0 then return {'task_in_use', tostring(open)} end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
return {'ok'}
