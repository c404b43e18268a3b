-- ARGV: job, filter as JSON, the decision in words. Returns {ok, number of tasks reset, offers as JSON}, or
-- {state that does not allow it}, or nil.

local job = open_job(ARGV[3])
if not job then
  return false
end
if job.f.state == 'cancel-requested' then
  return { job.f.state }
end
local which = cjson.decode(ARGV[4])

local function meant(row)
  return (not which.states or which.states[row.state])
    and (not which.layer or which.layer == row.layer)
    and (not which.chunk or which.chunk == row.chunk)
    and (not which.tasks or which.tasks[row.id])
end

-- Meant, and ended badly by itself. A barrier is meant with its chunk: nobody can name it.
local function root(row)
  if not BAD[row.state] or row.bad > 0 then
    return false
  end
  if row.kind == 'barrier' then
    return not which.chunk or which.chunk == row.chunk
  end
  return meant(row)
end

local roots, number_reset = {}, 0
for _, row in ipairs(all_rows(job)) do
  if row.final then
    number_reset = number_reset + (BAD[row.state] and meant(row) and 1 or 0)
  elseif root(row) then
    roots[#roots + 1] = row
  end
end
if not roots[1] and number_reset == 0 and not (job.f.state == 'canceled' and not next(which)) then
  return { 'ok', 0, '{}' }
end
open_again(job)
number_reset = number_reset + tasks_in(reset(job, roots))
put(job, 'activity', ARGV[5])
announce(job.id, 'job.retried', { tasks = number_reset, activity = ARGV[5] })
settle(job)
flush()
return { 'ok', number_reset, cjson.encode(offers) }
