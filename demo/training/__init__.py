"""The recipe of the embedded model: fetch free pictures, train, measure, assemble. `python -m demo.training --help`."""
