--[[
  Make a tenant's first key, unless it has or had one. Two processes that start at once, and one that dies on the way,
  must leave one key that works or none: hence the secret's own key here, though it is no tenant's.
    KEYS[1] hash of the tenant: key id -> record with the secret's hash
    KEYS[2] time of the tenant's last revocation   KEYS[3] key record by the secret's hash
    ARGV[1] key id   ARGV[2] record with the secret's hash   ARGV[3] key record
  Returns {'ok'} or {'not_new'}.
]]
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return {'not_new'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
return {'ok'}
