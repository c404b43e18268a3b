-- ARGV: job. Returns offers of all ready tasks of a job that runs, as JSON, or nil without such a job.

local job = open_job(ARGV[3])
if not job then
  return false
end
local rows = {}
if LISTED[job.f.state] then
  for _, queue in ipairs(queues_of(job)) do
    for _, name in ipairs(redis.call('ZRANGE', key(job.id, 'ready:' .. queue), 0, -1)) do
      rows[#rows + 1] = row_of(job, name)
    end
  end
end
table.sort(rows, function(a, b) return tonumber(place(a)) < tonumber(place(b)) end)
for _, row in ipairs(rows) do
  row.offers = 1
  touch(job, row)
  redis.call('ZADD', OFFERED, now, member(job, row))
  offer(job, row)
end
flush()
return cjson.encode(offers)
