"""All routes of an application, also those that its OpenAPI document leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute


class RouteOf(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    handler: Callable[..., Any]

    @property
    def name(self) -> str:
        """`GET /jobs/{job_id}`, without the root."""
        return f"{self.method} {self.path.removeprefix('/api/v1')}"


def routes_of(app: FastAPI) -> list[RouteOf]:
    """By address."""
    return sorted(_walk(app.routes, ""), key=lambda route: (route.path, route.method))


def _walk(routes: Sequence[Any], prefix: str) -> Iterator[RouteOf]:
    for route in routes:
        # FastAPI keeps an included router as one route.
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _walk(included.routes, prefix + route.include_context.prefix)
        elif isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                yield RouteOf(method, prefix + route.path, route.endpoint)
