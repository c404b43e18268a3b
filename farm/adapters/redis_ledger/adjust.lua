-- ARGV: job, priority or '', workers at most or '', the decision in words. Returns ok, or nil without such a job.

even_if_full()
local job = open_job(ARGV[3])
if not job then
  return false
end
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= number(job, 'priority') then
  put(job, 'priority', ARGV[4])
  local least = least_share(job)
  put(job, 'vtime', least or number(job, 'vtime'))
end
if ARGV[5] ~= '' then
  put(job, 'max_workers', ARGV[5])
end
put(job, 'activity', ARGV[6])
announce(job.id, 'job.adjusted', {
  priority = number(job, 'priority'), max_workers = number(job, 'max_workers'), activity = ARGV[6],
})
job.changed = true
flush()
return 'ok'
