-- ARGV: job, task, fence, step, steps. Returns ok, lost or canceled.

even_if_full()
local job = open_job(ARGV[3])
local row = held(job, ARGV[4], ARGV[5])
if not row then
  return 'lost'
end
local step = tonumber(ARGV[6])
if row.kind == 'detail' then
  bump(job, 'steps_done', math.max(0, step - (row.step or 0)))
end
row.step, row.steps = step, tonumber(ARGV[7])
touch(job, row)
job.changed = true
flush()
return canceling(job) and 'canceled' or 'ok'
