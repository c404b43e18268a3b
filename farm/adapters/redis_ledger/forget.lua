-- ARGV: job. Removes every key of a job, and its entries in the indexes.

even_if_full()
local job = open_job(ARGV[3])
if not job then
  return 0
end
unlist(job)
redis.call('ZREM', JOBS, job.f.order)
redis.call('ZREM', OPEN, job.id)
for _, name in ipairs(redis.call('HKEYS', key(job.id, 'rows'))) do
  local known = job.id .. '/' .. name
  redis.call('ZREM', LEASES, known)
  redis.call('ZREM', DUE, known)
  redis.call('ZREM', OFFERED, known)
  local row = row_of(job, name)
  if row.state == 'active' then
    redis.call('SREM', worker_key(row.worker), known)
  end
end
for _, queue in ipairs(queues_of(job)) do
  redis.call('DEL', key(job.id, 'ready:' .. queue))
end
for _, part in ipairs({ 'job', 'counts', 'rows', 'deps', 'chunks', 'done', 'failed', 'frames', 'queues', 'workers' }) do
  redis.call('DEL', key(job.id, part))
end
return 1
