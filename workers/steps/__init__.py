"""What each kind of task does, given its tools."""
