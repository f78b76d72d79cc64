--[[
  Append an event, unless the job is final: the final state stays the last event, however late a worker notices it.
    KEYS[1] hash of the job   KEYS[2] stream of the job
    ARGV[1] event   ARGV[2] longest stream
  Returns {'ok'}, {'job_not_found'} or {'final'}.
]]
if redis.call('EXISTS', KEYS[1]) == 0 then return {'job_not_found'} end
if redis.call('HEXISTS', KEYS[1], 'finishedAt') == 1 then return {'final'} end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[1])
return {'ok'}
