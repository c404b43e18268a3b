-- ARGV: job, chunks as JSON [[chunk, frames, frames before it], ...], last one first, the decision in words.
-- Forgets all that is known of these chunks: whoever advances the job adds their tasks again.
-- Returns ok, or the state that does not allow it, or nil.

local job = open_job(ARGV[3])
if not job then
  return false
end
if job.f.state == 'cancel-requested' then
  return job.f.state
end

local FRAMES = key(job.id, 'frames')

-- The frames of chunks that follow each other without a gap, as one number; `before`: those of all chunks before them.
local function lump(chunk, frames, before)
  if frames > 0 then
    redis.call('HINCRBY', FRAMES, chunk, frames)
    redis.call('HSET', FRAMES, 'before' .. chunk, before)
  end
end

-- The chunk under which the frames of a chunk without any of its own were counted, and how many lie before it there.
local function holder_of(chunk, before)
  local at = chunk
  while at > 0 and not redis.call('HGET', FRAMES, 'before' .. at) do
    at = at - 1
    if not is_done(job, at) then
      return nil
    end
  end
  local first = redis.call('HGET', FRAMES, 'before' .. at)
  return first and at, first and before - tonumber(first)
end

-- Take back what was counted of a chunk; what follows it counts again when it is done.
local function uncount(chunk, frames, before)
  local known = tonumber(redis.call('HGET', FRAMES, chunk) or 0)
  local rest = 0
  if not is_done(job, chunk) then
    frames = known
  else
    if chunk < number(job, 'next_chunk') then
      rest = number(job, 'frames_contiguous') - before - frames
      put(job, 'frames_contiguous', before)
      put(job, 'next_chunk', chunk)
    elseif known > 0 then
      rest = known - frames
    else
      local holder, own = holder_of(chunk, before)
      local held = holder and tonumber(redis.call('HGET', FRAMES, holder) or 0) or 0
      if held > 0 and own <= held then
        rest = held - own - frames
        redis.call('HSET', FRAMES, holder, own)
      end
    end
    redis.call('SETBIT', key(job.id, 'done'), chunk, 0)
    job.chunks[chunk] = false
    bump(job, 'chunks_done', -1)
  end
  bump(job, 'frames_done', -frames)
  redis.call('HDEL', FRAMES, chunk, 'before' .. chunk)
  lump(chunk + 1, rest, before + frames)
end

open_again(job)
for _, given in ipairs(cjson.decode(ARGV[4])) do
  local chunk = given[1]
  local names = redis.call('HGET', key(job.id, 'chunks'), chunk) or ''
  for name in string.gmatch(names, '%S+') do
    local row = row_of(job, name)
    if row then
      remove(job, row)
    end
  end
  redis.call('HDEL', key(job.id, 'chunks'), chunk)
  uncount(chunk, given[2], given[3])
  bump(job, 'chunks_failed', -redis.call('SREM', key(job.id, 'failed'), chunk))
  unname_chunk(job, 'eaten', chunk)
  name_chunk(job, 'reopened', chunk)
end
put(job, 'activity', ARGV[5])
announce(job.id, 'job.reopened', { activity = ARGV[5] })
settle(job)
flush()
return 'ok'
