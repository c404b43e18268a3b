"""The ledger on Redis: one atomic Lua script per verb, on any Redis or Valkey from 6.2 on."""

from farm.adapters.redis_ledger.ledger import RedisLedger

__all__ = ["RedisLedger"]
