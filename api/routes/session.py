"""A browser's session: the key is sent once, and a cookie that no script can read stands for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api import session
from api.auth import Keys, User
from api.problems import RESPONSES, Unauthorized
from api.shapes import Answer, Asked

router = APIRouter(tags=["session"], responses=RESPONSES)
entrance = APIRouter(tags=["session"], responses=RESPONSES)
"""Open to all: what is asked for here is the key."""


class Login(Asked):
    """What a person types."""

    key: Annotated[str, Field(min_length=1, max_length=4096)]
    """One of the farm's API keys."""


class Who(Answer):
    """Whom the farm takes the visitor for."""

    user: str
    """"local" where the farm has no keys."""
    keys: bool
    """Whether this farm has API keys, so that there is a session to end."""


@entrance.post("/session")
def begin(login: Login, request: Request, response: Response) -> Who:
    """Begin a session: the cookie of the answer stands for the key, for twelve hours, on this farm's own pages."""
    keys: Keys = request.app.state.keys
    user = keys.user(login.key) if keys else None
    if user is None:
        raise Unauthorized("The API key is not one of this farm's. Ask its operator (FARM_API_KEYS) for one.")
    response.set_cookie(
        session.COOKIE,
        keys.session(user, login.key),
        max_age=session.LIFE_S,
        path="/",
        httponly=True,
        samesite="strict",
        # A forged header can only make the cookie stricter.
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )
    return Who(user=user, keys=True)


@entrance.delete("/session", status_code=204)
def end() -> Response:
    """End the session in this browser."""
    response = Response(status_code=204)
    response.delete_cookie(session.COOKIE, path="/", httponly=True, samesite="strict")
    return response


@router.get("/session")
def who(request: Request, user: User) -> Who:
    """Whom the farm takes the visitor for; 401 if it wants a key first."""
    return Who(user=user, keys=bool(request.app.state.keys))
