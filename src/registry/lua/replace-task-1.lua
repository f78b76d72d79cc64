--[[
  Write the record of a task that exists: a task deleted meanwhile must not come back.
    KEYS[1] hash of the tenant: task -> record
    ARGV[1] task   ARGV[2] record
  Returns {'ok'} or {'task_not_found'}.
]]
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {'task_not_found'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {'ok'}
