-- ARGV: job, task, fence, output, tasks as JSON, frames, milliseconds of work. Returns what it led to, as JSON.

even_if_full()
local job = open_job(ARGV[3])
local row = held(job, ARGV[4], ARGV[5])
if not row then
  row = job and row_of(job, ARGV[4])
  local before = row and row.state == 'completed' and row.fence == ARGV[5]
  return cjson.encode(before and {
    accepted = true, offers = {}, chunk_ended = row.closes, job_ended = row.final and OVER[job.f.state],
    state = row.state,
  } or { accepted = false, offers = {} })
end
let_go(job, row, 'ok', nil, tonumber(ARGV[9]))
announce_task(job, row, 'task.finished', { seconds = tonumber(ARGV[9]) / 1000 })
row.output = ARGV[6]
local frames = tonumber(ARGV[8])
bump(job, 'frames_done', frames)
if frames > 0 then
  announce(job.id, 'frames.finished', {
    chunk = row.chunk, frames = frames, frames_done = number(job, 'frames_done'),
  })
end
if frames > 0 and row.chunk >= 0 then
  redis.call('HINCRBY', key(job.id, 'frames'), row.chunk, frames)
end
-- The new tasks first: what they feed must still be waiting for this one.
add(job, cjson.decode(ARGV[7]))
end_task(job, row, 'completed')
settle(job)
return ended(job, row)
