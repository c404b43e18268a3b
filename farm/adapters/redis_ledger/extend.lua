-- ARGV: job, tasks as JSON, number of opened chunks. Returns offers as JSON, or nil without such a job.

local job = open_job(ARGV[3])
if not job then
  return false
end
local before = number(job, 'seq')
add(job, cjson.decode(ARGV[4]))
local more = tonumber(ARGV[5]) > number(job, 'opened')
if more then
  put(job, 'opened', tonumber(ARGV[5]))
end
if more or number(job, 'seq') > before then
  settle(job)
end
flush()
return cjson.encode(offers)
