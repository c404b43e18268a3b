-- ARGV: worker, what it says of itself as JSON, ttl in ms. Returns the wish that it ends, as JSON, or nil.

even_if_full()
begin_log()
if not redis.call('ZSCORE', WORKERS, ARGV[3]) then
  local says = cjson.decode(ARGV[4])
  announce('', 'worker.joined', { worker = ARGV[3], host = says.host, device = says.device })
end
redis.call('ZADD', WORKERS, now + tonumber(ARGV[5]), ARGV[3])
redis.call('HSET', prefix .. 'worker-info', ARGV[3], ARGV[4])
redis.call('HSET', prefix .. 'worker-seen', ARGV[3], now)
return redis.call('HGET', DRAINS, ARGV[3])
