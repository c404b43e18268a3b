"""What can be asked of the farm. No I/O of its own: it is given a store, a ledger and a queue."""
