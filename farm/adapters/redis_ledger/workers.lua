-- Returns {what it says of itself, when it was seen, the wish that it ends or '', its leases ...} of each worker that is
-- alive.

local answers = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')) do
  local answer = {
    redis.call('HGET', prefix .. 'worker-info', worker), redis.call('HGET', prefix .. 'worker-seen', worker),
    redis.call('HGET', DRAINS, worker) or '',
  }
  for _, lease in ipairs(redis.call('SMEMBERS', worker_key(worker))) do
    answer[#answer + 1] = lease
  end
  answers[#answers + 1] = answer
end
return answers
