"""The API's OpenAPI document: what FastAPI finds, with errors as they really are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

MEDIA_TYPE = "application/problem+json"
INVALID = "422"
"""What FastAPI would say of requests that do not fit; here they are problems like any other, under `4XX`."""


def describe(app: FastAPI) -> None:
    """Have `app` tell of its errors under the media type that they have, and of no other kind of error."""
    found: Callable[[], dict[str, Any]] = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(found())
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI offers


def _corrected(schema: dict[str, Any]) -> dict[str, Any]:
    for path in schema["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            responses.pop(INVALID, None)
            for status, response in responses.items():
                if status[0] in "45" and "application/json" in response.get("content", {}):
                    response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    _tuples(schema["components"]["schemas"])
    return schema


def _tuples(part: object) -> None:
    """Tuples of one kind are told as arrays of a fixed length: generators of clients and tests know those better."""
    if isinstance(part, dict):
        kinds = part.get("prefixItems")
        if isinstance(kinds, list) and all(kind == kinds[0] for kind in kinds):
            part["items"] = part.pop("prefixItems")[0]
        for value in part.values():
            _tuples(value)
    if isinstance(part, list):
        for value in part:
            _tuples(value)
