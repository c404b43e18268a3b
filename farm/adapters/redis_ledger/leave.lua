-- ARGV: worker. It is alive no more.

even_if_full()
take_off(ARGV[3])
return 1
