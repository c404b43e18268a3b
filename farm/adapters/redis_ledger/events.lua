-- ARGV: id or '' for the floor, how many at the most. Returns {floor, newest id, events behind that id}.

even_if_full()
begin_log()
local floor = redis.call('GET', FLOOR)
local newest = redis.call('XREVRANGE', EVENTS, '+', '-', 'COUNT', 1)[1]
local after = ARGV[3] ~= '' and ARGV[3] or floor
local found = redis.call('XRANGE', EVENTS, '(' .. after, '+', 'COUNT', ARGV[4])
return { floor, newest and newest[1] or floor, found }
