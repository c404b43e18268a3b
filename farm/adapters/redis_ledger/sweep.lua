-- ARGV: ms after which a ready task is offered again, events to keep, ms to keep them for. Returns offers, expired `<job>/<task>` and open jobs, as JSON.

local SWEEP_LIMIT = 200
local AGAIN_MAX = 32
local again = tonumber(ARGV[3])

local function until_now(index, time, visit)
  local names = redis.call('ZRANGEBYSCORE', index, '-inf', time, 'LIMIT', 0, SWEEP_LIMIT)
  for _, name in ipairs(names) do
    local id, task = string.match(name, '^([^/]*)/(.*)$')
    local job = open_job(id)
    local row = job and row_of(job, task)
    if row then
      visit(job, row)
    else
      redis.call('ZREM', index, name)
    end
  end
end

even_if_full()
local expired = {}
until_now(LEASES, now, function(job, row)
  local error = 'the lease of ' .. row.worker .. ' ran out'
  expired[#expired + 1] = member(job, row)
  -- Charged for as long as the worker is known to have been at it: not for the wait, or others would come first then.
  local seen = tonumber(redis.call('ZSCORE', LEASES, member(job, row))) - (row.ttl or 0)
  let_go(job, row, 'lost', error, math.max(0, seen - row.started))
  fall_short(job, row, 'lost', error, nil)
  settle(job)
end)

until_now(DUE, now, function(job, row)
  back(job, row)
  settle(job)
end)

-- The wait doubles with each offer: where no worker comes for days, messages must not fill the broker.
until_now(OFFERED, now - again, function(job, row)
  local time = now
  if LISTED[job.f.state] then
    time = now + again * (math.min(2 ^ row.offers, AGAIN_MAX) - 1)
    row.offers = row.offers + 1
    touch(job, row)
    offer(job, row)
  end
  redis.call('ZADD', OFFERED, digits(time), member(job, row))
end)

local gone = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', now, 'LIMIT', 0, SWEEP_LIMIT)
for _, worker in ipairs(gone) do
  take_off(worker)
  announce('', 'worker.left', { worker = worker })
end

-- Bounded work: a log that is far too long, or too old, is cut by many sweeps.
local function trim_log(most, age)
  local first = redis.call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
  local length, old = redis.call('XLEN', EVENTS), 0
  if first and tonumber(first[2][2]) < now - age then
    for _, entry in ipairs(redis.call('XRANGE', EVENTS, '-', '+', 'COUNT', SWEEP_LIMIT)) do
      old = old + (tonumber(entry[2][2]) < now - age and 1 or 0)
    end
  end
  local extra = math.max(old, length - most)
  if extra > 0 then
    local last = redis.call('XREVRANGE', EVENTS, '+', '-', 'COUNT', 1)[1][1]
    redis.call('XTRIM', EVENTS, 'MAXLEN', length - extra)
    local kept = redis.call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
    local ms, count = string.match(kept and kept[1] or '', '^(%d+)-(%d+)$')
    if not kept then
      redis.call('SET', FLOOR, last)
    elseif count == '0' then
      redis.call('SET', FLOOR, digits(tonumber(ms) - 1) .. '-18446744073709551615')
    else
      redis.call('SET', FLOOR, ms .. '-' .. digits(tonumber(count) - 1))
    end
  end
end
trim_log(tonumber(ARGV[4]), tonumber(ARGV[5]))

local jobs = redis.call('ZRANGE', OPEN, 0, SWEEP_LIMIT - 1)
flush()
for _, id in ipairs(jobs) do
  redis.call('ZADD', OPEN, 'XX', now, id)
end
return cjson.encode({ offers = offers, expired = expired, jobs = jobs })
