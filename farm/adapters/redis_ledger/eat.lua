-- ARGV: job, {tasks to eat, tasks to try again, chunks} as JSON, the decision in words. Returns {ok, number of tasks
-- eaten or reset, offers as JSON}, or {state that does not allow it}, or nil.

local job = open_job(ARGV[3])
if not job then
  return false
end
if job.f.state == 'cancel-requested' then
  return { job.f.state }
end
local which = cjson.decode(ARGV[4])
for _, chunk in ipairs(which.chunks) do
  name_chunk(job, 'eaten', chunk)
end
local roots, done = {}, {}
for _, row in ipairs(all_rows(job)) do
  if row.state == 'failed' and row.bad == 0 and (which.tasks[row.id] or which.again[row.id]) then
    roots[#roots + 1] = row
    name_chunk(job, 'eaten', row.chunk)
  end
end
if roots[1] then
  open_again(job)
  done = reset(job, roots, which.tasks)
  put(job, 'activity', ARGV[5])
  settle(job)
end
flush()
return { 'ok', tasks_in(done), cjson.encode(offers) }
