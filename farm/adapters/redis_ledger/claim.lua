-- ARGV: worker, ttl in ms, name of this claim and of a ledger without one, preferred job, task and queue (or ''), queues ...
-- Returns {job, task, row as JSON} or nil.

even_if_full()
local worker, ttl = ARGV[3], tonumber(ARGV[4])
local wish = { job = ARGV[6], task = ARGV[7], queue = ARGV[8] }

local function best_job()
  local best, least
  for i = 9, #ARGV do
    local top = redis.call('ZRANGE', queue_key(ARGV[i]), 0, 0, 'WITHSCORES')
    if top[1] then
      local score = tonumber(top[2])
      if not best or score < least or (score == least and top[1] < best) then
        best, least = top[1], score
      end
    end
  end
  return best, least
end

-- The wish counts only among jobs that are as good as the best one.
local function wished(least)
  local order = wish.job ~= '' and redis.call('HGET', key(wish.job, 'job'), 'order')
  local score = order and redis.call('ZSCORE', queue_key(wish.queue), order)
  if not score or tonumber(score) ~= least then
    return false
  end
  for i = 9, #ARGV do
    if ARGV[i] == wish.queue then
      return redis.call('ZSCORE', key(wish.job, 'ready:' .. wish.queue), wish.task)
    end
  end
  return false
end

local function first_task(id)
  local first, least
  for i = 9, #ARGV do
    local top = redis.call('ZRANGE', key(id, 'ready:' .. ARGV[i]), 0, 0, 'WITHSCORES')
    if top[1] and (not first or tonumber(top[2]) < least) then
      first, least = top[1], tonumber(top[2])
    end
  end
  return first
end

-- The lease that this very call was given, if it was sent before and its answer was lost: else nobody would run that
-- task until the lease runs out.
local function given_before()
  for _, known in ipairs(redis.call('SMEMBERS', worker_key(worker))) do
    local id, task = string.match(known, '^([^/]*)/(.*)$')
    local text = redis.call('HGET', key(id, 'rows'), task)
    if text and string.find(cjson.decode(text).fence or '', '-' .. ARGV[5] .. '-', 1, true) then
      return { id, task, text }
    end
  end
  return nil
end

local again = given_before()
if again then
  return again
end
local best, least = best_job()
if not best then
  return false
end
local id, task
if wished(least) then
  id, task = wish.job, wish.task
else
  id = string.match(best, '|([^|]*)$')
  task = first_task(id)
end

local job = open_job(id)
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
if job.f.state == 'queued' then
  set_state(job, 'active')
  put(job, 'activity', 'started')
  if number(job, 'started') == 0 then
    put(job, 'started', now)
  end
end
job.changed = true
flush()
return { id, task, redis.call('HGET', key(id, 'rows'), task) }
