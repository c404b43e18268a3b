"""Which test holds which parameter of which node: filled by the tests, as their modules are imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from farm.domain.detailer import JobType

MASK, CLIP = JobType.MASK, JobType.ANIMATEDIFF
"""MaskDetailerPipe, and DetailerForEachPipeForAnimateDiff."""
HELD: dict[JobType, dict[str, list[str]]] = {MASK: {}, CLIP: {}}
"""Node -> parameter -> names of tests."""

_F = TypeVar("_F", bound=Callable[..., object])


def holds(*parameters: str, of: Iterable[JobType] = (MASK, CLIP)) -> Callable[[_F], _F]:
    """Says that a test holds parameters of one node or of both."""

    def noted(test: _F) -> _F:
        for node in of:
            for parameter in parameters:
                HELD[node].setdefault(parameter, []).append(test.__name__)
        return test

    return noted
