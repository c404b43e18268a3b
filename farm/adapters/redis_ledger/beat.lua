-- ARGV: worker, what it says of itself as JSON, ttl in ms. Returns the wish that it ends, as JSON, or nil.

even_if_full()
redis.call('ZADD', WORKERS, now + tonumber(ARGV[5]), ARGV[3])
redis.call('HSET', prefix .. 'worker-info', ARGV[3], ARGV[4])
redis.call('HSET', prefix .. 'worker-seen', ARGV[3], now)
return redis.call('HGET', DRAINS, ARGV[3])
