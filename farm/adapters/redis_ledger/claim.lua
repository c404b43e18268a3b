-- ARGV: worker, ttl in ms, name of this claim and of a ledger without one, preferred job, task and queue (or ''), queues ...
-- Returns {job, task, row as JSON} or nil.

even_if_full()
local worker, ttl = ARGV[3], tonumber(ARGV[4])
local wish = { job = ARGV[6], task = ARGV[7], queue = ARGV[8] }

local LOOK = 50 -- jobs, and tasks of each queue, that are looked at where the first must be left to others
local WITHHELD = 60000 -- ms for which a task is kept for those who have not failed it
local HASTE_MAX = 8 -- offers after which nobody is in a hurry any more

local crew
-- Another worker that is alive, serves the task's queue and gets such tasks; `failed` are left out.
local function another(job, row, failed)
  if not crew then
    crew = {}
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')) do
      local says = cjson.decode(redis.call('HGET', prefix .. 'worker-info', name))
      local leaves = says.info.draining or redis.call('HEXISTS', DRAINS, name) == 1
      crew[name] = not leaves and says.queues or nil
    end
    crew[worker] = nil
  end
  for name, queues in pairs(crew) do
    if not barred(job, row.kind, name) and not (failed and failed[name]) then
      for _, queue in ipairs(queues) do
        if queue == row.queue then
          return true
        end
      end
    end
  end
  return false
end

-- A worker that is barred, or has failed this very task, leaves it to others as long as there are any.
local function may(job, row)
  local again = row.failed and row.failed[worker] and now < row.since + WITHHELD
  return not (job.f.faults and barred(job, row.kind, worker) and another(job, row))
    and not (again and another(job, row, row.failed))
end

local function full(job)
  local most = number(job, 'max_workers')
  local workers = key(job.id, 'workers')
  return most > 0 and redis.call('HEXISTS', workers, worker) == 0 and redis.call('HLEN', workers) >= most
end

-- The best of the first `look` jobs of each queue: {order, merit}, by merit, then by age.
local function best_jobs(look)
  local found, seen = {}, {}
  for i = 9, #ARGV do
    local top = redis.call('ZRANGE', queue_key(ARGV[i]), 0, look - 1, 'WITHSCORES')
    for k = 1, #top, 2 do
      if not seen[top[k]] then
        seen[top[k]] = true
        found[#found + 1] = { top[k], tonumber(top[k + 1]) }
      end
    end
  end
  table.sort(found, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[1] < b[1] end)
  return found
end

-- The first task that this worker may have; false if the first `look` of a queue hold none.
local function first_task(job, look)
  local first, least
  for i = 9, #ARGV do
    local top = redis.call('ZRANGE', key(job.id, 'ready:' .. ARGV[i]), 0, look - 1, 'WITHSCORES')
    for k = 1, #top, 2 do
      local score = tonumber(top[k + 1])
      if first and score >= least then
        break
      elseif may(job, row_of(job, top[k])) then
        first, least = top[k], score
        break
      elseif look == 1 then
        return false
      end
    end
  end
  return first
end

-- A job, its first task for this worker, and its merit; nothing if there is none.
local function given(one)
  local job = open_job(string.match(one[1], '|([^|]*)$'))
  local task = not full(job) and (first_task(job, 1) or first_task(job, LOOK))
  if task then
    return job, task, one[2]
  end
end

local function choose()
  local best = best_jobs(1)[1]
  if not best then
    return nil
  end
  local job, task, least = given(best)
  if job then
    return job, task, least
  end
  for _, one in ipairs(best_jobs(LOOK)) do
    job, task, least = given(one)
    if job then
      return job, task, least
    end
  end
end

-- The wish counts only among jobs that are as good as the best one. One that is left to others is offered soon again.
local function wished(least)
  local job = wish.job ~= '' and open_job(wish.job)
  local row = job and LISTED[job.f.state] and row_of(job, wish.task)
  if not row or row.state ~= 'queued' or row.queue ~= wish.queue or full(job) then
    return nil
  end
  if not may(job, row) then
    if row.offers < HASTE_MAX then
      redis.call('ZADD', OFFERED, 'XX', 0, member(job, row))
    end
    return nil
  end
  for i = 9, #ARGV do
    if ARGV[i] == wish.queue then
      return tonumber(redis.call('ZSCORE', queue_key(wish.queue), job.f.order)) == least and job or nil
    end
  end
  return nil
end

local function answer(job, row)
  local text = redis.call('HGET', key(job.id, 'rows'), row.id)
  return { job.id, row.id, text, names_chunk(job, 'eaten', row.chunk) and 1 or 0 }
end

-- The lease that this very call was given, if it was sent before and its answer was lost: else nobody would run that
-- task until the lease runs out.
local function given_before()
  for _, known in ipairs(redis.call('SMEMBERS', worker_key(worker))) do
    local id, task = string.match(known, '^([^/]*)/(.*)$')
    local job = open_job(id)
    local row = job and row_of(job, task)
    if row and string.find(row.fence or '', '-' .. ARGV[5] .. '-', 1, true) then
      return answer(job, row)
    end
  end
  return nil
end

local again = given_before()
if again then
  return again
end
if redis.call('HEXISTS', DRAINS, worker) == 1 then
  return false
end
local job, task, least = choose()
local asked = wished(least)
if not job then
  return false
end
if asked then
  job, task = asked, wish.task
end
local id = job.id
local row = row_of(job, task)
move(job, row, 'active')
redis.call('SET', prefix .. 'incarnation', ARGV[5], 'NX')
-- The claim's own name is in it: a server that lost its last second counts through the same numbers again.
local incarnation, count = redis.call('GET', prefix .. 'incarnation'), redis.call('INCR', prefix .. 'fence')
row.fence = incarnation .. '-' .. ARGV[5] .. '-' .. count
row.attempt = row.attempt + 1
row.worker, row.started, row.ttl = worker, now, ttl
row.front, row.step, row.steps = nil, nil, nil
redis.call('ZADD', LEASES, now + ttl, member(job, row))
redis.call('SADD', worker_key(worker), member(job, row))
redis.call('HINCRBY', key(id, 'workers'), worker, 1)
announce_task(job, row, 'task.started')
if job.f.state == 'queued' then
  set_state(job, 'active')
  put(job, 'activity', 'started')
  if number(job, 'started') == 0 then
    put(job, 'started', now)
  end
  announce(id, 'job.started')
end
job.changed = true
flush()
return answer(job, row)
