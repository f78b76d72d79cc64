--[[
  Record a queued job. The same id twice is one job.
    KEYS[1] hash: task -> record   KEYS[2] hash of the job   KEYS[3] stream of the job
    KEYS[4] sorted set of jobs     KEYS[5] set: unfinished jobs of the tenant   KEYS[6] the same of the task
    ARGV[1] task   ARGV[2] job   ARGV[3] data   ARGV[4] time   ARGV[5] the same in ms   ARGV[6] event
    ARGV[7] channel   ARGV[8] message
  Returns {'ok'}, {'exists'} or {'task_not_found'}.
]]
if redis.call('EXISTS', KEYS[2]) == 1 then return {'exists'} end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {'task_not_found'} end
redis.call('HSET', KEYS[2], 'schema', '1', 'data', ARGV[3], 'createdAt', ARGV[4], 'state', 'queued')
redis.call('XADD', KEYS[3], '*', 'event', ARGV[6])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[2])
redis.call('SADD', KEYS[5], ARGV[2])
redis.call('SADD', KEYS[6], ARGV[2])
redis.call('PUBLISH', ARGV[7], ARGV[8])
return {'ok'}
