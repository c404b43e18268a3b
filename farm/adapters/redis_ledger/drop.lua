-- ARGV: job, chunks as JSON, tasks as JSON. Forgets the rows of those chunks that are done, if all of their tasks ended
-- well, and of those tasks that ended well. Costs as much as there are chunks and tasks in the call.

even_if_full()
local job = open_job(ARGV[3])
if not job then
  return 0
end
local found = {}

local function take(names)
  for _, name in ipairs(names) do
    local row = row_of(job, name)
    if row and not GOOD[row.state] then
      return false
    end
  end
  for _, name in ipairs(names) do
    found[#found + 1] = name
  end
  return true
end

-- A retry may undo what was eaten, and with it the fades of the neighbors.
local function kept(chunk)
  return names_chunk(job, 'eaten', chunk - 1) or names_chunk(job, 'eaten', chunk) or names_chunk(job, 'eaten', chunk + 1)
end

for _, chunk in ipairs(cjson.decode(ARGV[4])) do
  local names = is_done(job, chunk) and not kept(chunk) and redis.call('HGET', key(job.id, 'chunks'), chunk)
  local list = {}
  for name in string.gmatch(names or '', '%S+') do
    list[#list + 1] = name
  end
  if list[1] and take(list) then
    redis.call('HDEL', key(job.id, 'chunks'), chunk)
  end
end
for _, name in ipairs(cjson.decode(ARGV[5])) do
  take({ name })
end
for first = 1, #found, 1000 do
  local last = math.min(first + 999, #found)
  redis.call('HDEL', key(job.id, 'rows'), unpack(found, first, last))
  redis.call('HDEL', key(job.id, 'deps'), unpack(found, first, last))
end
return #found
