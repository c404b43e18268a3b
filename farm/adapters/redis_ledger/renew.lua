-- ARGV: ttl in ms, then job, task, fence of each lease. Returns ok, lost or canceled for each.

even_if_full()
local answers = {}
for i = 4, #ARGV, 3 do
  local job = open_job(ARGV[i])
  local row = held(job, ARGV[i + 1], ARGV[i + 2])
  if row then
    redis.call('ZADD', LEASES, 'XX', now + tonumber(ARGV[3]), member(job, row))
    answers[#answers + 1] = canceling(job) and 'canceled' or 'ok'
  else
    answers[#answers + 1] = 'lost'
  end
end
return answers
