--[[
  Forget an inference process that ends in order, and tell everyone.
    KEYS[1] hash: replica -> record   KEYS[2] sorted set: replica by the time it last spoke
    ARGV[1] replica   ARGV[2] channel   ARGV[3] message
  Returns {'ok'}.
]]
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return {'ok'}
