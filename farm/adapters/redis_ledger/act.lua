-- ARGV: job, pause, resume, cancel or approve, the decision in words. Returns ok, or the state that does not allow it,
-- or nil.

local ALREADY = {
  pause = { paused = true },
  resume = LISTED,
  cancel = CANCELING,
}
local TOLD = { pause = 'job.paused', resume = 'job.resumed', cancel = 'job.canceling', approve = 'approval.given' }
local STOPPED = { paused = true, ['awaiting-approval'] = true }

even_if_full()
local job = open_job(ARGV[3])
if not job then
  return false
end
local action, state = ARGV[4], job.f.state
if action == 'pause' and LISTED[state] then
  set_state(job, 'paused')
elseif action == 'resume' and state == 'paused' then
  set_state(job, number(job, 'started') > 0 and 'active' or 'queued')
elseif action == 'approve' and (LISTED[state] or STOPPED[state]) then
  if number(job, 'trial') == 0 then
    return 'ok'
  end
  put(job, 'trial', 0)
  if state == 'awaiting-approval' then
    set_state(job, number(job, 'started') > 0 and 'active' or 'queued')
  end
elseif action == 'cancel' and (LISTED[state] or STOPPED[state]) then
  set_state(job, 'cancel-requested')
  for _, row in ipairs(all_rows(job)) do
    if row.state == 'depend' or row.state == 'queued' or row.state == 'soft-failed' then
      end_task(job, row, 'canceled')
    end
  end
elseif ALREADY[action] and ALREADY[action][state] then
  return 'ok'
else
  return state
end
put(job, 'activity', ARGV[5])
announce(job.id, TOLD[action], { activity = ARGV[5] })
settle(job)
flush()
return 'ok'
