-- How ends are undone: what retry, eat and reopen share. On top of attempts.lua, with the same twin.

local function undo(job, row)
  move(job, row, 'depend')
  row.attempt, row.losses = 0, 0
  row.step, row.steps, row.fence, row.worker, row.error, row.cause = nil, nil, nil, nil, nil, nil
  row.front, row.failed = true, nil
  if row.closes then
    bump(job, 'chunks_failed', -redis.call('SREM', key(job.id, 'failed'), row.chunk))
  end
end

-- Undo the bad ends of these tasks and of those that fell with them; those named in `eaten` end well instead.
-- Returns all that were reset or eaten.
local function reset(job, todo, eaten)
  local done, first = {}, 1
  while todo[first] do
    local row = todo[first]
    first = first + 1
    if BAD[row.state] and row.bad == 0 then
      if eaten and eaten[row.id] then
        move(job, row, 'eaten')
        announce_task(job, row, 'task.eaten')
        job.ended[#job.ended + 1] = row
      else
        undo(job, row)
      end
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
    if row.state == 'depend' then
      look(job, row)
    end
  end
  return done
end

local function remove(job, row)
  if row.state == 'active' then
    let_go(job, row, 'superseded', nil, 0)
  end
  leave(job, row)
  if row.kind ~= 'barrier' then
    count(job, row, -1)
  end
  job.rows[row.id], job.touched[row.id] = false, nil
  redis.call('HDEL', key(job.id, 'rows'), row.id)
end

-- Every chunk's end comes before the job's: whoever advances the job adds the final task again.
local function open_again(job)
  for _, row in ipairs(all_rows(job)) do
    if row.final then
      remove(job, row)
    end
  end
  if job.f.fault then
    put(job, 'fault', '')
  end
  if OVER[job.f.state] or job.f.state == 'awaiting-approval' then
    put(job, 'ended', 0)
    set_state(job, 'active')
  end
end

local function tasks_in(rows)
  local found = 0
  for _, row in ipairs(rows) do
    found = found + (row.kind ~= 'barrier' and 1 or 0)
  end
  return found
end
