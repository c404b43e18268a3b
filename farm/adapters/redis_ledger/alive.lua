-- Returns how many workers are alive.

return redis.call('ZCOUNT', WORKERS, '(' .. now, '+inf')
