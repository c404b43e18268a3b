"""Scripts that run a farm through something and print the figures: `python -m tests.shows.<name>`."""
