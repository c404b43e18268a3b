-- ARGV: worker. It is alive no more.

even_if_full()
if take_off(ARGV[3]) then
  announce('', 'worker.left', { worker = ARGV[3] })
end
return 1
