"""Errors as problem+json (RFC 9457): what was seen, what is needed, what to change; never a stack trace."""

from __future__ import annotations

import http
import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from api.faults import Fault, explain
from api.headers import SECURE
from api.shapes import Answer
from farm.adapters.blob_names import BadName
from farm.errors import Conflict, FarmError, NotFound, Rejected, TooLarge, Unavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
RETRY_AFTER_S = 2
"""Seconds after which a client should ask again when a server behind the API does not answer."""


class Problem(Answer):
    """An error as the API tells it (RFC 9457)."""

    type: str = Field(examples=["urn:farm:problem:rejected"])
    """Stable name of the kind of error."""
    title: str
    status: int
    detail: str
    """For a person: what was seen, what is needed, what to change."""
    instance: str = ""
    """Path that was asked for."""
    errors: tuple[Fault, ...] = ()
    """Of a request body or query: each field that cannot be used."""


class Unauthorized(Rejected):
    """No key, or a wrong one."""


class Forbidden(Rejected):
    """The request comes from where this API does not answer."""


class RoleNeeded(Rejected):
    """Who asks may not do this: another role is needed, or it is somebody else's job."""


class QuotaExceeded(Rejected):
    """Who asks would have more of the farm than they may; waiting by itself may not help."""


class TooMany(Rejected):
    """Too many requests; the same one may be answered later."""

    def __init__(self, text: str, wait_s: float) -> None:
        """
        Args:
            wait_s: seconds after which to ask again.
        """
        self.wait_s = wait_s
        super().__init__(text)


class TooSlow(Rejected):
    """A body that comes so slowly that it only keeps a connection."""


_KINDS: tuple[tuple[type[FarmError], int, str, str], ...] = (
    (Unauthorized, 401, "unauthorized", "An API key is needed"),
    (Forbidden, 403, "forbidden", "Not from here"),
    (RoleNeeded, 403, "role-needed", "Another role is needed"),
    (QuotaExceeded, 403, "quota-exceeded", "A quota is used up"),
    (TooMany, 429, "too-many-requests", "Too many requests"),
    (NotFound, 404, "not-found", "There is no such thing"),
    (TooSlow, 408, "too-slow", "The body did not come in time"),
    (Conflict, 409, "conflict", "The state does not allow it"),
    (TooLarge, 413, "too-large", "Over a limit"),
    (BadName, 400, "bad-name", "A name cannot be used"),
    (Rejected, 422, "rejected", "The request cannot be met as it is"),
    (Unavailable, 503, "unavailable", "A server does not answer"),
)
"""The first that fits."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "Refused: the text says what was seen, what is needed, what to change."},
    "503": {"model": Problem, "description": "Redis or the store does not answer; ask again after `Retry-After`."},
}
"""What every route may answer besides its own."""


def install(app: FastAPI) -> None:
    """Have `app` answer every error as a problem."""
    app.add_exception_handler(FarmError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def problem(request: Request, status: int, kind: str, detail: str, **more: Any) -> JSONResponse:  # noqa: ANN401 - `title`, `errors` and `headers`, checked below
    """A problem+json answer."""
    title = more.get("title") or http.HTTPStatus(status).phrase
    errors: Sequence[Fault] = more.get("errors", ())
    headers: Mapping[str, str] | None = more.get("headers")
    body = Problem(
        type=f"urn:farm:problem:{kind}",
        title=title,
        status=status,
        detail=detail,
        instance=request.scope["path"],
        errors=tuple(errors),
    )
    return JSONResponse(
        body.model_dump(mode="json", exclude_defaults=True), status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


async def _refused(request: Request, error: Exception) -> JSONResponse:
    for family, status, kind, title in _KINDS:
        if isinstance(error, family):
            headers = {}
            if status == http.HTTPStatus.UNAUTHORIZED:
                headers["WWW-Authenticate"] = 'Bearer realm="farm"'
            if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
                headers["Retry-After"] = str(RETRY_AFTER_S)
            if isinstance(error, TooMany):
                headers["Retry-After"] = str(math.ceil(error.wait_s))
            return problem(request, status, kind, str(error), title=title, headers=headers)
    return await _unforeseen(request, error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    faults = explain(error) if isinstance(error, RequestValidationError) else ()
    detail = faults[0].message if faults else "The request cannot be read."
    if len(faults) > 1:
        detail += f" And {len(faults) - 1} more, see `errors`."
    return problem(request, 422, "invalid", detail, title="The request has unusable fields", errors=faults)


async def _http(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == http.HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.scope['path']}. /openapi.json lists all addresses."
    if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible at {request.scope['path']}. /openapi.json lists what is."
        headers["Allow"] = ", ".join(_methods(request))
    return problem(request, status, http.HTTPStatus(status).phrase.lower().replace(" ", "-"), detail, headers=headers)


def _methods(request: Request) -> list[str]:
    """What is possible at an address; the framework tells only of the first route there."""
    path = request.scope["path"]
    told = request.app.openapi()["paths"].get(path)
    if told is not None:  # `/jobs/plan` is no job called `plan`
        return [method for method in METHODS if method.lower() in told]
    scopes = ((method, {**request.scope, "method": method}) for method in METHODS)
    return [method for method, scope in scopes if any(_takes(route, scope) for route in request.app.routes)]


def _takes(route: BaseRoute, scope: Scope) -> bool:
    return route.matches(scope)[0] is Match.FULL


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("request_failed", method=request.method, path=request.scope["path"], exc_info=error)
    told = "The farm made a mistake that it did not foresee; the API's log has the details. Try again, or report it."
    # This answer is made outside of all that adds headers to answers.
    return problem(request, 500, "internal", told, headers={**SECURE, "Cache-Control": "no-store"})
