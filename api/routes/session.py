"""A browser's session: the key is sent once, and a cookie that no script can read stands for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from api import session
from api.access import Access
from api.auth import Asker, owner_of
from api.problems import RESPONSES
from api.shapes import Answer, Asked
from farm.domain.people import Role

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
    role: Role
    """What they may do: look (`viewer`); submit, and decide about their own jobs (`artist`); everything (`admin`)."""
    keys: bool
    """Whether this farm has API keys, so that there is a session to end."""


@entrance.post("/session")
async def begin(login: Login, request: Request, response: Response) -> Who:
    """Begin a session: the cookie of the answer stands for the key, for twelve hours, on this farm's own pages."""
    access: Access = request.app.state.access
    person = await owner_of(request, login.key)
    response.set_cookie(
        session.COOKIE,
        await run_in_threadpool(access.session, login.key, person),
        max_age=session.LIFE_S,
        path="/",
        httponly=True,
        samesite="strict",
        # A forged header can only make the cookie stricter.
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )
    return Who(user=person.name, role=person.role, keys=True)


@entrance.delete("/session", status_code=204)
def end() -> Response:
    """End the session in this browser."""
    response = Response(status_code=204)
    response.delete_cookie(session.COOKIE, path="/", httponly=True, samesite="strict")
    return response


@router.get("/session")
def who(person: Asker) -> Who:
    """Whom the farm takes the visitor for; 401 if it wants a key first."""
    return Who(user=person.name, role=person.role, keys=bool(person.key))
