--[[
  Claim an Idempotency-Key, or read what is there. (SET with NX and GET does this from Redis 7 on only.)
    KEYS[1] the key's record
    ARGV[1] record of the claim   ARGV[2] seconds the claim lives
  Returns {'reserved'} or {'found', record}.
]]
local found = redis.call('GET', KEYS[1])
if found then return {'found', found} end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return {'reserved'}
