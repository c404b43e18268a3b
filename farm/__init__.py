"""A farm that details long animations with diffusion models. Nothing in here imports torch.

`from farm import Farm, AsyncFarm` gives the Python client (docs/client.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farm.client import AsyncFarm as AsyncFarm
    from farm.client import Farm as Farm
    from farm.client import JobCanceled as JobCanceled
    from farm.client import JobFailed as JobFailed
    from farm.client import StillRunning as StillRunning

__all__ = ["AsyncFarm", "Farm", "JobCanceled", "JobFailed", "StillRunning"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the signature of a module's own
    """The client, when somebody asks for it: workers and the API, which import this too, do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import farm.client

    return getattr(farm.client, name)
