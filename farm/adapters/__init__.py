"""The world outside: stores, ledgers, the queue, pictures, videos, and the servers of a farm on one machine."""
