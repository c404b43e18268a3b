-- ARGV: job, task, fence, outcome, error, ms until the next attempt or '', queue from now on or '', parts as JSON or ''.
-- Returns what it led to, as JSON.

even_if_full()
local job = open_job(ARGV[3])
local row = held(job, ARGV[4], ARGV[5])
if not row then
  return cjson.encode({ accepted = false, offers = {} })
end
let_go(job, row, ARGV[6], ARGV[7], now - row.started)
if ARGV[9] ~= '' then
  row.queue = ARGV[9]
  redis.call('SADD', key(job.id, 'queues'), row.queue)
end
fall_short(job, row, ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[10] ~= '' and cjson.decode(ARGV[10]) or nil)
settle(job)
return ended(job, row)
