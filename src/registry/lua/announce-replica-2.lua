--[[
  Enter an inference process, or say that it lives. Those that have said nothing for too long are forgotten.
    KEYS[1] hash: replica -> record   KEYS[2] sorted set: replica by the time it last spoke, ms
    ARGV[1] replica   ARGV[2] record   ARGV[3] ms after which one is lost   ARGV[4] channel   ARGV[5] message when it is new
  Returns {'new'} or {'known'}.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('(%d', now - ARGV[3]))) do
  redis.call('HDEL', KEYS[1], lost)
  redis.call('ZREM', KEYS[2], lost)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('ZADD', KEYS[2], string.format('%d', now), ARGV[1]) == 0 then return {'known'} end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return {'new'}
