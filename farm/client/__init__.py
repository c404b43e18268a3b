"""The Python client of a farm: what the command line is made of."""

from farm.client.farm import Farm

__all__ = ["Farm"]
