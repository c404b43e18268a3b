"""The least role that a route asks for: one line above its function, `@needs(Role.ADMIN)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from farm.domain.people import Role

READING = frozenset({"GET", "HEAD", "OPTIONS"})
_MARK = "farm_needs"
_Handler = TypeVar("_Handler", bound=Callable[..., Any])


class Needs(NamedTuple):
    """What a route asks of whoever calls it."""

    role: Role
    own_job: bool = False
    """Below an admin only the owner of the job `{job_id}` may."""


def needs(role: Role, *, own_job: bool = False) -> Callable[[_Handler], _Handler]:
    """Say what a route asks for. Goes below `@router.post(...)`.

    Every route that changes anything must have it, which a test holds; one that only reads is open to viewers without.
    """

    def mark(handler: _Handler) -> _Handler:
        setattr(handler, _MARK, Needs(role, own_job))
        return handler

    return mark


def stated(handler: object) -> Needs | None:
    """What a route's function says that it needs; None: nothing was said."""
    found: Needs | None = getattr(handler, _MARK, None)
    return found


def needed(handler: object, method: str) -> Needs:
    """What a route asks for; where it does not say: viewers read, and only admins change, until somebody decides."""
    return stated(handler) or Needs(Role.VIEWER if method in READING else Role.ADMIN)
