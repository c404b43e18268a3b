-- ARGV: job, worker or '' for all, the decision in words. Returns the number of entries removed, or nil without such a
-- job.

even_if_full()
local job = open_job(ARGV[3])
if not job then
  return false
end
local faults, removed = faults_of(job), 0
for name in pairs(faults) do
  local kind, worker = string.match(name, '^([^|]*)|(.*)$')
  if ARGV[4] == '' or ARGV[4] == worker then
    removed = removed + (barred(job, kind, worker) and 1 or 0)
    faults[name] = nil
  end
end
if removed > 0 then
  put(job, 'activity', ARGV[5])
  announce(job.id, 'worker.unblocked', { worker = ARGV[4], activity = ARGV[5] })
end
put_faults(job)
job.changed = true
flush()
return removed
