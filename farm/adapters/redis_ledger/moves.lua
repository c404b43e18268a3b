-- How one change of a job runs its course: who becomes ready, who falls with whom, what ends.
-- The twin of memory_moves.py, rule by rule and in the same order; the contract tests compare the two.

local offers = {}
local chunk_ended, job_ended = false, false

local function canceling(job)
  return CANCELING[job.f.state] == true
end

local function offer(job, row)
  offers[#offers + 1] = { job.id, row.id, row.kind, row.queue }
end

local function member(job, row)
  return job.id .. '/' .. row.id
end

local function place(row)
  return digits((row.chunk + 1) * PLACE + row.seq - (row.front and FRONT or 0))
end

-- Counts by state, and by `<kind>:<state>`.
local function count(job, row, by)
  for _, name in ipairs({ row.state, row.kind .. ':' .. row.state }) do
    job.counts[name] = (tonumber(job.counts[name]) or 0) + by
    job.counts_touched[name] = true
  end
end

local function counted(job, state)
  return tonumber(job.counts[state]) or 0
end

local function leave(job, row)
  if row.state == 'queued' then
    local line = key(job.id, 'ready:' .. row.queue)
    redis.call('ZREM', line, row.id)
    redis.call('ZREM', OFFERED, member(job, row))
    if redis.call('EXISTS', line) == 0 then
      redis.call('ZREM', queue_key(row.queue), job.f.order)
    end
  elseif row.state == 'soft-failed' then
    redis.call('ZREM', DUE, member(job, row))
  end
end

-- The only place where a task changes its state, and with it the counts and the indexes.
local function move(job, row, state)
  leave(job, row)
  if row.kind ~= 'barrier' then
    count(job, row, -1)
  end
  row.state = state
  if row.kind ~= 'barrier' then
    count(job, row, 1)
  end
  touch(job, row)
  if state == 'queued' then
    redis.call('ZADD', key(job.id, 'ready:' .. row.queue), place(row), row.id)
    redis.call('ZADD', OFFERED, now, member(job, row))
    if LISTED[job.f.state] then
      redis.call('ZADD', queue_key(row.queue), merit(job), job.f.order)
    end
  elseif state == 'soft-failed' then
    redis.call('ZADD', DUE, row.due, member(job, row))
  end
end

-- The least share that another job in the line of this priority had; nil if there is none.
local function least_share(job)
  local floor = (100 - number(job, 'priority')) * CLASS
  local top = redis.call('ZRANGEBYSCORE', LINE, digits(floor), '(' .. digits(floor + CLASS), 'WITHSCORES', 'LIMIT', 0, 2)
  for i = 1, #top, 2 do
    if top[i] ~= job.f.order then
      return tonumber(top[i + 1]) - floor
    end
  end
  return nil
end

-- A job that comes (back) into the line starts where the others are: it has no claim on the past.
local function share_from_here(job)
  local least = least_share(job)
  if least and least > number(job, 'vtime') then
    put(job, 'vtime', least)
  end
end

local function list(job)
  redis.call('ZADD', LINE, merit(job), job.f.order)
  redis.call('SADD', user_key(job), job.id)
  for _, queue in ipairs(queues_of(job)) do
    if redis.call('EXISTS', key(job.id, 'ready:' .. queue)) == 1 then
      redis.call('ZADD', queue_key(queue), merit(job), job.f.order)
    end
  end
end

local function unlist(job)
  redis.call('ZREM', LINE, job.f.order)
  redis.call('SREM', user_key(job), job.id)
  for _, queue in ipairs(queues_of(job)) do
    redis.call('ZREM', queue_key(queue), job.f.order)
  end
end

-- Work is charged to the user: who has several jobs in the line has a part of a share for each.
local function charge(job, work)
  local jobs = math.max(1, redis.call('SCARD', user_key(job)))
  bump(job, 'vtime', math.floor(work * jobs / tonumber(job.f.weight or 1) + 0.5))
end

-- The only place where a job changes its state.
local function set_state(job, state)
  local before = job.f.state
  put(job, 'state', state)
  if LISTED[state] and not LISTED[before] then
    share_from_here(job)
    list(job)
  elseif LISTED[before] and not LISTED[state] then
    unlist(job)
  end
  if OVER[state] then
    redis.call('ZREM', OPEN, job.id)
  elseif OVER[before] then
    redis.call('ZADD', OPEN, 0, job.id)
  end
end

local function ready(job, row)
  row.worker, row.fence = nil, nil
  row.offers, row.since = 1, now
  move(job, row, 'queued')
  if LISTED[job.f.state] then
    offer(job, row)
  end
end

local function count_contiguous(job)
  local chunk = number(job, 'next_chunk')
  while is_done(job, chunk) do
    bump(job, 'frames_contiguous', tonumber(redis.call('HGET', key(job.id, 'frames'), chunk) or 0))
    redis.call('HDEL', key(job.id, 'frames'), chunk, 'before' .. chunk)
    chunk = chunk + 1
  end
  put(job, 'next_chunk', chunk)
end

-- Tell of a task. `more` is what belongs to this kind of event only.
local function announce_task(job, row, kind, more)
  local data = {
    task = row.id, kind = row.kind, chunk = row.chunk, layer = row.layer, worker = row.worker, attempt = row.attempt,
  }
  for name, value in pairs(more or {}) do
    data[name] = value
  end
  announce(job.id, kind, data)
end

local function set_done(job, chunk)
  redis.call('SETBIT', key(job.id, 'done'), chunk, 1)
  job.chunks[chunk] = true
  bump(job, 'chunks_done', 1)
end

local function end_chunk(job, chunk, state)
  if is_done(job, chunk) then
    chunk_ended = chunk_ended or state ~= 'canceled'
    return
  end
  if GOOD[state] then
    set_done(job, chunk)
    count_contiguous(job)
    put(job, 'activity', 'chunk ' .. chunk .. ' done')
    announce(job.id, 'chunk.done', { chunk = chunk, chunks_done = number(job, 'chunks_done') })
  elseif state == 'failed' then
    bump(job, 'chunks_failed', redis.call('SADD', key(job.id, 'failed'), chunk))
    announce(job.id, 'chunk.failed', { chunk = chunk, chunks_failed = number(job, 'chunks_failed') })
  end
  chunk_ended = chunk_ended or state ~= 'canceled'
end

-- End a task; `settle` tells those that wait for it.
local function end_task(job, row, state, error)
  move(job, row, state)
  row.error = error
  if row.closes then
    end_chunk(job, row.chunk, state)
  end
  if state == 'failed' and not row.cause then
    put(job, 'activity', row.id .. ' failed: ' .. (error or ''))
    put(job, 'fault', row.id .. ': ' .. (error or ''))
    announce_task(job, row, 'task.failed', { error = short(error or '') })
  end
  if row.final and state ~= 'canceled' then
    job.final_ended = true
  end
  job.ended[#job.ended + 1] = row
end

-- Decide about a task in `depend`: it may be ready, or never become so.
local function look(job, row)
  if canceling(job) then
    end_task(job, row, 'canceled')
  elseif row.bad > 0 then
    end_task(job, row, 'failed', 'not run, because ' .. row.cause .. ' failed')
  elseif row.open > 0 then
    return
  elseif row.kind ~= 'barrier' then
    ready(job, row)
  else
    end_task(job, row, 'completed')
  end
end

local function each_dependent(job, row, visit)
  for kind, seq, name in string.gmatch(deps_of(job, row.id), '([hs])(%d+):(%S+)') do
    local other = row_of(job, name)
    -- One that was removed and added again has another number, and its own entry.
    if other and other.seq == tonumber(seq) then
      visit(other, kind == 'h')
    end
  end
end

local function tell(job, row, from, hard)
  touch(job, row)
  if hard and BAD[from.state] then
    row.bad = row.bad + 1
    row.cause = row.cause or from.cause or from.id
  else
    row.open = row.open - 1
  end
  if row.state == 'depend' then
    look(job, row)
  end
end

local function end_job(job, state)
  set_state(job, state)
  put(job, 'ended', now)
  local rest = string.match(job.f.activity, '^cancel requested(.*)$')
  if state == 'failed' and (job.f.fault or '') ~= '' then
    rest = ': ' .. job.f.fault
  end
  put(job, 'activity', state .. (rest or ''))
  job_ended = true
  announce(job.id, 'job.' .. state, {
    frames_done = number(job, 'frames_done'), chunks_failed = number(job, 'chunks_failed'),
    recovered = job.known_to_be_over,
  })
end

-- The chunks that somebody wants to see first have all ended: the others wait for a word.
local function hold(job)
  local failed = number(job, 'chunks_failed')
  local trial, ended = number(job, 'trial'), number(job, 'chunks_done') + failed
  if trial > 0 and ended >= trial and LISTED[job.f.state] then
    set_state(job, 'awaiting-approval')
    put(job, 'activity', 'the first chunks wait for approval')
    announce(job.id, 'approval.wanted', { chunks_done = ended - failed, chunks_failed = failed })
  end
end

-- Tell everybody who waits, to the end; then see whether the job has ended.
local function settle(job)
  job.changed = true
  local first = 1
  while job.ended[first] do
    local row = job.ended[first]
    each_dependent(job, row, function(other, hard) tell(job, other, row, hard) end)
    if GOOD[row.state] and deps_of(job, row.id) ~= '' then
      set_deps(job, row.id, '') -- what ended well is never told again
    end
    first = first + 1
  end
  job.ended = {}
  if job.f.state == 'cancel-requested' and counted(job, 'active') == 0 then
    end_job(job, 'canceled')
  elseif job.final_ended and not OVER[job.f.state] and not canceling(job) then
    local failed = number(job, 'chunks_failed') > 0 or counted(job, 'failed') > 0
    end_job(job, failed and 'failed' or 'completed')
  end
  hold(job)
end
