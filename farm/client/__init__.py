"""The Python client of a farm: what the command line is made of."""

from farm.client.aio import AsyncFarm
from farm.client.download import Way
from farm.client.ends import JobCanceled, JobFailed, StillRunning
from farm.client.farm import Farm

__all__ = ["AsyncFarm", "Farm", "JobCanceled", "JobFailed", "StillRunning", "Way"]
