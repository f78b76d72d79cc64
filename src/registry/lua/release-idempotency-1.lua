--[[
  Give an unanswered claim back; another request's claim or answer stays.
    KEYS[1] the key's record
    ARGV[1] record of the claim
  Returns {'ok'}.
]]
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return {'ok'}
