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

local function undo(row)
  move(job, row, 'depend')
  row.attempt, row.losses = 0, 0
  row.step, row.steps, row.fence, row.worker, row.error, row.cause = nil, nil, nil, nil, nil, nil
  row.front = true
  if row.closes then
    bump(job, 'chunks_failed', -redis.call('SREM', key(job.id, 'failed'), row.chunk))
  end
end

-- Undo the bad ends of these tasks and of those that fell with them; all that were reset.
local function reset(todo)
  local done, first = {}, 1
  while todo[first] do
    local row = todo[first]
    first = first + 1
    if BAD[row.state] and row.bad == 0 then
      undo(row)
      done[#done + 1] = row
      each_dependent(job, row, function(other, hard)
        touch(job, other)
        if hard then
          other.bad = other.bad - 1
          if other.bad == 0 then
            todo[#todo + 1] = other
          end
        else
          other.open = other.open + 1
          if other.state == 'queued' then
            move(job, other, 'depend')
          end
        end
      end)
    end
  end
  for _, row in ipairs(done) do
    look(job, row)
  end
  return done
end

local function remove(row)
  if row.state == 'active' then
    let_go(job, row, 'superseded', nil, 0)
  end
  leave(job, row)
  if row.kind ~= 'barrier' then
    count(job, row.state, -1)
  end
  job.rows[row.id], job.touched[row.id] = false, nil
  redis.call('HDEL', key(job.id, 'rows'), row.id)
end

local finals, roots, number_reset = {}, {}, 0
for _, row in ipairs(all_rows(job)) do
  if row.final then
    finals[#finals + 1] = row
    number_reset = number_reset + (BAD[row.state] and meant(row) and 1 or 0)
  elseif root(row) then
    roots[#roots + 1] = row
  end
end
if not roots[1] and number_reset == 0 and not (job.f.state == 'canceled' and not next(which)) then
  return { 'ok', 0, '{}' }
end
-- Every chunk's end comes before the job's: whoever advances the job adds the final task again.
for _, row in ipairs(finals) do
  remove(row)
end
if OVER[job.f.state] then
  put(job, 'ended', 0)
  set_state(job, 'active')
end
for _, row in ipairs(reset(roots)) do
  number_reset = number_reset + (row.kind ~= 'barrier' and 1 or 0)
end
put(job, 'activity', ARGV[5])
settle(job)
flush()
return { 'ok', number_reset, cjson.encode(offers) }
