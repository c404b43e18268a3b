-- ARGV: job, chunk. Forgets the rows of a chunk that is done, if all of its tasks ended well.

even_if_full()
local job = open_job(ARGV[3])
local chunk = tonumber(ARGV[4])
if not job or not is_done(job, chunk) then
  return 0
end
for near = chunk - 1, chunk + 1 do
  -- A retry may undo what was eaten, and with it the fades of the neighbors.
  if names_chunk(job, 'eaten', near) then
    return 0
  end
end
local names = redis.call('HGET', key(job.id, 'chunks'), chunk) or ''
local found = {}
for name in string.gmatch(names, '%S+') do
  local row = row_of(job, name)
  if row and not GOOD[row.state] then
    return 0
  end
  found[#found + 1] = name
end
for first = 1, #found, 1000 do
  local last = math.min(first + 999, #found)
  redis.call('HDEL', key(job.id, 'rows'), unpack(found, first, last))
  redis.call('HDEL', key(job.id, 'deps'), unpack(found, first, last))
end
redis.call('HDEL', key(job.id, 'chunks'), chunk)
return #found
