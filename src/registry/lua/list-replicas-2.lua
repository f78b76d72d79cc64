--[[
  The inference processes that have spoken lately. The clock is that of Redis: those of the hosts differ.
    KEYS[1] hash: replica -> record   KEYS[2] sorted set: replica by the time it last spoke, ms
    ARGV[1] ms after which one is lost
  Returns {'ok', replica, record, replica, record, ...}.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {'ok'}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%d', now - ARGV[1]), '+inf')) do
  table.insert(answer, id)
  table.insert(answer, redis.call('HGET', KEYS[1], id))
end
return answer
