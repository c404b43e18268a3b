-- ARGV: job or '', kind, data as JSON. Writes one event; returns its id.

even_if_full()
begin_log()
return redis.call('XADD', EVENTS, '*', 'at', now, 'kind', ARGV[4], 'job', ARGV[3], 'data', ARGV[5])
