"""What is asked of a farm, apart from how it is sent: one logic for threads and for coroutines.

A question is a generator: it yields the calls that it needs, is sent the answer of each, and returns what it found out.
`Http.do` and `AsyncHttp.do` carry questions out.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Methods that may be sent twice; others only with an Idempotency-Key, or where twice is the same as once."""


@dataclass(frozen=True)
class Call:
    """One call below `/api/v1`."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    """Those that are None are left out."""
    json: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    """Sent twice it does what it does once."""
    raw: bool = False
    """The answer is taken as bytes, not as JSON."""

    @property
    def repeats(self) -> bool:
        """Whether it is sent again while the farm is unavailable."""
        return self.repeatable or self.method in SAFE

    def given(self) -> dict[str, Any]:
        """The parameters that have values."""
        return {name: value for name, value in self.params.items() if value is not None}


Question: TypeAlias = Generator[Call, Any, T]
"""Yields calls, is sent JSON (None for an empty answer) or bytes, returns a T."""


def get(path: str, **params: object) -> Call:
    """A call that looks."""
    return Call("GET", path, params)


def post(path: str, body: object) -> Call:
    """A call that may be sent twice."""
    return Call("POST", path, json=body, repeatable=True)
