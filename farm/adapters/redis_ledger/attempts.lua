-- How attempts end and tasks are added: on top of moves.lua, with the same twin.

local HISTORY_MAX = 20
local LOSSES_MAX = 10
local FREE = { interrupted = true, lost = true, superseded = true, canceled = true }

local function wait_for(job, row, wanted, hard)
  local name, chunk = wanted[1], wanted[2]
  local other = row_of(job, name)
  if other and GOOD[other.state] or not other and is_done(job, chunk) then
    return
  end
  -- Remembered although it ended badly: a retry makes it a wait again.
  local known = deps_of(job, name)
  set_deps(job, name, known .. (known ~= '' and ' ' or '') .. (hard and 'h' or 's') .. row.seq .. ':' .. row.id)
  touch(job, row)
  local bad = other and BAD[other.state]
  if hard or not bad then
    row.open = row.open + 1
  end
  if hard and bad then
    row.bad = row.bad + 1
    row.cause = row.cause or other.cause or name
  end
end

local function wanted(job, task)
  -- A process that was asleep may add what is finished and dropped, or close a job that was reopened meanwhile.
  local ended = number(job, 'chunks_done') + number(job, 'chunks_failed')
  local early = task.final and not task.waits and ended < number(job, 'chunks')
  return not row_of(job, task.id) and not is_done(job, task.chunk) and not early
end

local function insert(job, task)
  bump(job, 'seq', 1)
  local row = {
    id = task.id, kind = task.kind, queue = task.queue, chunk = task.chunk, layer = task.layer, key = task.key,
    closes = task.closes, final = task.final, seq = number(job, 'seq'), state = 'depend', open = 0, bad = 0,
    attempt = 0, losses = 0, parts = task.parts,
  }
  job.rows[task.id] = row
  touch(job, row)
  if row.kind ~= 'barrier' then
    count(job, row, 1)
    if not job.queues_known then
      job.queues_known = {}
    end
    if not job.queues_known[row.queue] then
      redis.call('SADD', key(job.id, 'queues'), row.queue)
      job.queues_known[row.queue] = true
    end
  end
  if row.kind == 'detail' then
    bump(job, task.output and 'hits' or 'misses', 1)
  end
  if row.chunk >= 0 then
    job.new_names[row.chunk] = job.new_names[row.chunk] or {}
    table.insert(job.new_names[row.chunk], row.id)
    unname_chunk(job, 'reopened', row.chunk)
  end
  return row
end

local function tie(job, row, task)
  for _, name in ipairs(task.waits or {}) do
    wait_for(job, row, name, true)
  end
  for _, name in ipairs(task.settles or {}) do
    wait_for(job, row, name, false)
  end
  for _, name in ipairs(task.feeds or {}) do
    local fed = row_of(job, name)
    if fed and (fed.state == 'depend' or BAD[fed.state]) then
      wait_for(job, fed, { row.id, -1 }, true)
    end
  end
end

-- Add those that are not there yet: first all rows, then who waits for whom, then what is ready.
local function add(job, tasks)
  local new = {}
  for _, task in ipairs(tasks) do
    if wanted(job, task) then
      new[#new + 1] = { insert(job, task), task }
    end
  end
  for _, pair in ipairs(new) do
    tie(job, pair[1], pair[2])
  end
  for _, pair in ipairs(new) do
    local row, task = pair[1], pair[2]
    if task.output then
      row.output = task.output
      job.known_to_be_over = task.final
      end_task(job, row, task.output == 'eaten' and 'eaten' or 'completed')
    elseif row.state == 'depend' then
      look(job, row)
    end
  end
end

-- The row of a lease that still holds.
local function held(job, name, fence)
  local row = job and row_of(job, name)
  if row and row.state == 'active' and row.fence == fence then
    return row
  end
  return nil
end

-- Take the lease back, note the attempt and charge the job's fair share for it.
local function let_go(job, row, outcome, error, work)
  if redis.call('HINCRBY', key(job.id, 'workers'), row.worker, -1) <= 0 then
    redis.call('HDEL', key(job.id, 'workers'), row.worker)
  end
  redis.call('ZREM', LEASES, member(job, row))
  redis.call('SREM', worker_key(row.worker), member(job, row))
  if work > 0 then
    charge(job, work)
  end
  row.error = error
  row.history = row.history or {}
  table.insert(row.history, {
    worker = row.worker, started = row.started, ended = now, outcome = outcome, error = error or '',
  })
  if #row.history > HISTORY_MAX then
    table.remove(row.history, 1)
  end
  touch(job, row)
end

-- Put a task that was given out before the others; it waits if what it waits for was opened again.
local function back(job, row)
  row.front = true
  if row.open > 0 then
    row.worker, row.fence = nil, nil
    move(job, row, 'depend')
  else
    ready(job, row)
  end
end

local function note_fault(job, row)
  row.failed = row.failed or {}
  row.failed[row.worker] = true
  local faults, name = faults_of(job), row.kind .. '|' .. row.worker
  local known = faults[name] or ''
  if not string.find(' ' .. known .. ' ', ' ' .. row.id .. ' ', 1, true) then
    local before = barred(job, row.kind, row.worker)
    faults[name] = known .. (known ~= '' and ' ' or '') .. row.id
    put_faults(job)
    if not before and barred(job, row.kind, row.worker) then
      announce(job.id, 'worker.blocked', { worker = row.worker, kind = row.kind })
    end
  end
end

-- What failed on several workers is no fault of theirs.
local function clear_faults(job, row)
  local workers = {}
  for worker in pairs(row.failed or {}) do
    workers[#workers + 1] = worker
  end
  if #workers < 2 then
    return
  end
  local faults = faults_of(job)
  for _, worker in ipairs(workers) do
    local name = row.kind .. '|' .. worker
    local left = {}
    for task in string.gmatch(faults[name] or '', '%S+') do
      if task ~= row.id then
        left[#left + 1] = task
      end
    end
    faults[name] = left[1] and table.concat(left, ' ') or nil
  end
  put_faults(job)
end

-- The task waits for its parts, which take its place; it is run again to put them together.
local function split(job, row, parts)
  clear_faults(job, row)
  row.parts, row.attempt, row.failed = #parts, 0, nil
  row.worker, row.fence, row.front = nil, nil, true
  move(job, row, 'depend')
  add(job, parts)
  for _, part in ipairs(parts) do
    wait_for(job, row, { part.id, -1 }, true)
  end
  look(job, row)
end

-- An attempt ended badly: the task is split, tried again, now or `retry_in` ms later, or it is failed or canceled.
local function fall_short(job, row, outcome, error, retry_in, parts)
  local free = FREE[outcome]
  local told = { outcome = outcome, error = short(error or '') }
  if not free and retry_in then
    note_fault(job, row)
  end
  if free then
    row.attempt = row.attempt - 1
  end
  if outcome == 'lost' then
    row.losses = row.losses + 1
  end
  if outcome == 'canceled' or canceling(job) then
    end_task(job, row, 'canceled', error)
  elseif row.losses >= LOSSES_MAX then
    local text = row.losses .. ' workers were lost while they ran it, the last with: ' .. (error or '')
    end_task(job, row, 'failed', text .. '. Look at their logs and memory; retry it when that is mended.')
  elseif not free and parts then
    announce_task(job, row, 'task.retried', told)
    split(job, row, parts)
  elseif not free and (not retry_in or row.attempt >= number(job, 'max_attempts')) then
    clear_faults(job, row)
    end_task(job, row, 'failed', error)
  elseif retry_in and retry_in > 0 then
    announce_task(job, row, 'task.retried', told)
    row.due = now + retry_in
    row.worker, row.fence = nil, nil
    move(job, row, 'soft-failed')
  else
    announce_task(job, row, 'task.retried', told)
    back(job, row)
  end
end

local function ended(job, row)
  flush()
  return cjson.encode({
    accepted = true, offers = offers, chunk_ended = chunk_ended, job_ended = job_ended, state = row.state,
  })
end
