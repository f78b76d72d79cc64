--[[
  Move a job to another state. A final job stays as it is, and a job that has published cannot be cancelled any more.
    KEYS[1] hash of the job   KEYS[2] stream of the job
    KEYS[3] set: unfinished jobs of the tenant   KEYS[4] the same of the task
    ARGV[1] job   ARGV[2] new state   ARGV[3] time when the new state is final, else ''
    ARGV[4] version, '' for none      ARGV[5] error record, '' for none
    ARGV[6] event   ARGV[7] longest stream   ARGV[8] channel   ARGV[9] message
  Returns {'ok'}, {'job_not_found'}, {'final', state} or {'published', version}.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'job_not_found'} end
if redis.call('HEXISTS', KEYS[1], 'finishedAt') == 1 then return {'final', redis.call('HGET', KEYS[1], 'state')} end
local published = redis.call('HGET', KEYS[1], 'version')
if ARGV[2] == 'cancelled' and published then return {'published', published} end

redis.call('HSET', KEYS[1], 'state', ARGV[2])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'version', ARGV[4]) end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'error', ARGV[5]) end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'finishedAt', ARGV[3])
  redis.call('SREM', KEYS[3], ARGV[1])
  redis.call('SREM', KEYS[4], ARGV[1])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[7], '*', 'event', ARGV[6])
redis.call('PUBLISH', ARGV[8], ARGV[9])
return {'ok'}
