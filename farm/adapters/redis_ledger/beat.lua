-- ARGV: worker, what it says of itself as JSON, ttl in ms.

even_if_full()
redis.call('ZADD', WORKERS, now + tonumber(ARGV[5]), ARGV[3])
redis.call('HSET', prefix .. 'worker-info', ARGV[3], ARGV[4])
redis.call('HSET', prefix .. 'worker-seen', ARGV[3], now)
return 1
