-- ARGV: job, fields as JSON (text only), done chunks as JSON [[chunk, frames], ...], a mark of this call, the kind of
-- event that it is.
-- Returns 1 if the job was created, by this call or by the same call sent before.

local id, mark = ARGV[3], ARGV[6]
local known = redis.call('HGET', key(id, 'job'), 'mark')
if known then
  return known == mark and 1 or 0
end
local fields = { 'mark', mark, 'state', 'queued', 'activity', 'submitted', 'revision', '1', 'vtime', '0' }
for field, value in pairs(cjson.decode(ARGV[4])) do
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end
redis.call('HSET', key(id, 'job'), unpack(fields))
local job = open_job(id)
begin_log()
local frames = {}
for _, done in ipairs(cjson.decode(ARGV[5])) do
  set_done(job, done[1])
  frames[#frames + 1] = done[1]
  frames[#frames + 1] = done[2]
  bump(job, 'frames_done', done[2])
end
hset_all(key(id, 'frames'), frames)
count_contiguous(job)
redis.call('ZADD', JOBS, 0, job.f.order)
redis.call('ZADD', OPEN, 0, id)
share_from_here(job)
list(job)
announce(id, ARGV[7], { name = ARGV[8], user = job.f.user })
hold(job)
flush()
return 1
