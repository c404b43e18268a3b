"""`python -m farm.cli`: the same as `farm`, for processes that start others."""

from farm.cli.main import main

main()
