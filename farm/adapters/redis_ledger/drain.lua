-- ARGV: worker, the wish that it ends as JSON without its time, or '' to take it back.
-- Returns the wish as it is kept, or how many were taken back; nil if no such worker is alive.

even_if_full()
local worker, text = ARGV[3], ARGV[4]
local until_when = redis.call('ZSCORE', WORKERS, worker)
if not until_when or tonumber(until_when) <= now then
  return false
end
if text == '' then
  return redis.call('HDEL', DRAINS, worker)
end
local wish = cjson.decode(text)
wish.since = now
local kept = cjson.encode(wish)
redis.call('HSET', DRAINS, worker, kept)
return kept
