"""What does the work: one process per GPU, and processes for the CPU's tasks."""
