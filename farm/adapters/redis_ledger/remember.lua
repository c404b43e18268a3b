-- ARGV: key, value, ttl in ms. Returns the value that is kept.

local name = prefix .. 'kept:' .. ARGV[3]
local ttl = tonumber(ARGV[5])
local kept = redis.call('GET', name)
if kept then
  local till, value = string.match(kept, '^(%d+)|(.*)$')
  if tonumber(till) > now then
    return value
  end
end
redis.call('SET', name, digits(now + ttl) .. '|' .. ARGV[4], 'PX', ttl)
return ARGV[4]
