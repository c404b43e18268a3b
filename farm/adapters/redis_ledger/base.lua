-- What every verb stands on: names of keys, the time, jobs and rows that are read once and written once.
-- Begins every script. ARGV[1] is the prefix of all keys, ARGV[2] the time in ms or '' for the server's own.
-- Keys are computed here, not declared: all of a ledger lies on one server (its hash tags keep a job together).

local prefix = ARGV[1]

local function server_time()
  if ARGV[2] ~= '' then
    return tonumber(ARGV[2])
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local now = server_time()

local JOBS = prefix .. 'jobs' -- sorted set: `<created>|<job>`, by name
local OPEN = prefix .. 'open' -- sorted set: job -> when a sweep last returned it; those that have not ended
local LINE = prefix .. 'line' -- sorted set: `<created>|<job>` -> merit; those whose tasks are given out
local LEASES = prefix .. 'leases' -- sorted set: `<job>/<task>` -> end of its lease
local DUE = prefix .. 'due' -- sorted set: `<job>/<task>` -> when its next attempt may begin
local OFFERED = prefix .. 'offered' -- sorted set: ready `<job>/<task>` -> when it was last offered
local WORKERS = prefix .. 'workers' -- sorted set: worker -> when it counts as gone
local DRAINS = prefix .. 'drains' -- hash: worker -> the wish that it ends; those that are alive, or were a moment ago
local EVENTS = prefix .. 'events' -- stream: what happened, for whoever wants to hear of it; a sweep trims it
local FLOOR = prefix .. 'events-floor' -- all events behind this id are still in the stream

local LISTED = { queued = true, active = true }
local CANCELING = { ['cancel-requested'] = true, canceled = true }
local OVER = { completed = true, failed = true, canceled = true }
local GOOD = { completed = true, eaten = true }
local BAD = { failed = true, canceled = true }

local FRONT = 2 ^ 52 -- more than any place in the line of a job
local PLACE = 2 ^ 31 -- more tasks than a job ever has
local CLASS = 2 ^ 44 -- milliseconds: more work than a job ever gets

local function key(job, part)
  return prefix .. '{' .. job .. '}:' .. part
end

-- Sorted set of the jobs that have ready tasks on a queue, by merit, then by age.
local function queue_key(queue)
  return prefix .. 'queue:' .. queue
end

local function worker_key(worker)
  return prefix .. 'leases-of:' .. worker
end

-- Lua writes 14 digits of a number by itself.
local function digits(number)
  return string.format('%.0f', number)
end

-- A full server refuses a script at its first write that could need memory, and never after any other write: who says
-- this first may go on. So what was begun can be ended, and ending makes room.
local function even_if_full()
  redis.call('DEL', prefix .. 'nothing')
end

-- A worker that is gone, off the list.
local function take_off(worker)
  redis.call('HDEL', prefix .. 'worker-info', worker)
  redis.call('HDEL', prefix .. 'worker-seen', worker)
  redis.call('HDEL', DRAINS, worker)
  return redis.call('ZREM', WORKERS, worker) == 1
end

local function table_of(pairs_list)
  local found = {}
  for i = 1, #pairs_list, 2 do
    found[pairs_list[i]] = pairs_list[i + 1]
  end
  return found
end

-- Tell of something that happened, in the same moment: one short entry.
local function announce(id, kind, data)
  for name, value in pairs(data or {}) do
    if value == '' then
      data[name] = nil
    end
  end
  redis.call('XADD', EVENTS, '*', 'at', now, 'kind', kind, 'job', id, 'data', data and cjson.encode(data) or '{}')
end

-- The log of a new server, or of one that was wiped, begins here: who knows another id has missed something.
local function begin_log()
  if redis.call('EXISTS', FLOOR) == 0 then
    redis.call('SET', FLOOR, redis.call('XADD', EVENTS, '*', 'at', now, 'kind', 'log.begun', 'job', '', 'data', '{}'))
  end
end

-- At most 300 bytes of a text, cut between characters.
local function short(text)
  if #text <= 300 then
    return text
  end
  return (string.gsub(string.sub(text, 1, 300), '[\192-\255][\128-\191]*$', ''))
end

local opened = {}

-- A job with its fields and counts; nil if there is none. Written by `flush`.
local function open_job(id)
  if opened[id] then
    return opened[id]
  end
  local fields = table_of(redis.call('HGETALL', key(id, 'job')))
  if not fields.state then
    return nil
  end
  local job = {
    id = id, f = fields, dirty = {}, rows = {}, touched = {}, deps = {}, deps_touched = {},
    counts = table_of(redis.call('HGETALL', key(id, 'counts'))), counts_touched = {},
    ended = {}, chunks = {}, new_names = {}, changed = false,
  }
  opened[id] = job
  return job
end

local function put(job, field, value)
  job.f[field] = value
  job.dirty[field] = value
end

local function number(job, field)
  return tonumber(job.f[field] or 0)
end

local function bump(job, field, by)
  put(job, field, number(job, field) + by)
end

local function row_of(job, name)
  local row = job.rows[name]
  if row == nil then
    local text = redis.call('HGET', key(job.id, 'rows'), name)
    row = text and cjson.decode(text)
    if row then
      row.id = name
    end
    job.rows[name] = row
  end
  return row
end

local function all_rows(job)
  local found = {}
  local texts = redis.call('HGETALL', key(job.id, 'rows'))
  for i = 1, #texts, 2 do
    if job.rows[texts[i]] == nil then
      job.rows[texts[i]] = cjson.decode(texts[i + 1])
      job.rows[texts[i]].id = texts[i]
    end
    found[#found + 1] = job.rows[texts[i]]
  end
  table.sort(found, function(a, b) return a.seq < b.seq end)
  return found
end

local function touch(job, row)
  job.touched[row.id] = row
end

-- Who waits for a task: `h<seq>:<task>` (its bad end is theirs too) or `s<seq>:<task>`, with spaces between.
local function deps_of(job, name)
  if job.deps[name] == nil then
    job.deps[name] = redis.call('HGET', key(job.id, 'deps'), name) or ''
  end
  return job.deps[name]
end

local function set_deps(job, name, text)
  job.deps[name] = text
  job.deps_touched[name] = true
end

local function is_done(job, chunk)
  if chunk < 0 then
    return false
  end
  if job.chunks[chunk] == nil then
    job.chunks[chunk] = redis.call('GETBIT', key(job.id, 'done'), chunk) == 1
  end
  return job.chunks[chunk]
end

-- Lower is served first: priority, then the work that the job had.
local function merit(job)
  return digits((100 - number(job, 'priority')) * CLASS + number(job, 'vtime'))
end

-- `<kind>|<worker>` -> tasks, with spaces between, that it failed and that others may well do.
local function faults_of(job)
  job.faults = job.faults or cjson.decode(job.f.faults or '{}')
  return job.faults
end

local function put_faults(job)
  put(job, 'faults', cjson.encode(job.faults))
end

-- A worker that failed so many tasks of one kind gets no more of them.
local FAULTS_MAX = 3

local function barred(job, kind, worker)
  local _, tasks = string.gsub(faults_of(job)[kind .. '|' .. worker] or '', '%S+', '')
  return tasks >= FAULTS_MAX
end

-- Chunks, with spaces around each, in which something was eaten (`eaten`) or that must be planned anew (`reopened`).
local function names_chunk(job, field, chunk)
  return string.find(job.f[field] or '', ' ' .. chunk .. ' ', 1, true) ~= nil
end

local function name_chunk(job, field, chunk)
  if not names_chunk(job, field, chunk) then
    put(job, field, (job.f[field] or ' ') .. chunk .. ' ')
  end
end

local function unname_chunk(job, field, chunk)
  if names_chunk(job, field, chunk) then
    put(job, field, (string.gsub(job.f[field], ' ' .. chunk .. ' ', ' ', 1)))
  end
end

local function user_key(job)
  return prefix .. 'user:' .. (job.f.user or '')
end

local function queues_of(job)
  return redis.call('SMEMBERS', key(job.id, 'queues'))
end

local function reorder(job)
  redis.call('ZADD', LINE, 'XX', merit(job), job.f.order)
  for _, queue in ipairs(queues_of(job)) do
    redis.call('ZADD', queue_key(queue), 'XX', merit(job), job.f.order)
  end
end

local function hset_all(name, pairs_list)
  for first = 1, #pairs_list, 1000 do
    redis.call('HSET', name, unpack(pairs_list, first, math.min(first + 999, #pairs_list)))
  end
end

local function flush_rows(job)
  local rows = {}
  for name, row in pairs(job.touched) do
    row.id = nil
    rows[#rows + 1] = name
    rows[#rows + 1] = cjson.encode(row)
    row.id = name
  end
  hset_all(key(job.id, 'rows'), rows)
  local deps = {}
  for name in pairs(job.deps_touched) do
    if job.deps[name] == '' then
      redis.call('HDEL', key(job.id, 'deps'), name)
    else
      deps[#deps + 1] = name
      deps[#deps + 1] = job.deps[name]
    end
  end
  hset_all(key(job.id, 'deps'), deps)
  for chunk, names in pairs(job.new_names) do
    local known = redis.call('HGET', key(job.id, 'chunks'), chunk)
    redis.call('HSET', key(job.id, 'chunks'), chunk, (known and known .. ' ' or '') .. table.concat(names, ' '))
  end
end

-- Write what changed. Nothing was written before, except indexes (sorted sets, sets, bits).
local function flush()
  for _, job in pairs(opened) do
    flush_rows(job)
    local counts = {}
    for state in pairs(job.counts_touched) do
      counts[#counts + 1] = state
      counts[#counts + 1] = job.counts[state]
    end
    hset_all(key(job.id, 'counts'), counts)
    if job.dirty.vtime then
      reorder(job)
    end
    if job.changed then
      bump(job, 'revision', 1)
    end
    local fields = {}
    for field, value in pairs(job.dirty) do
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
    hset_all(key(job.id, 'job'), fields)
  end
end
