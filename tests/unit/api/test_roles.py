"""What each role may do, over all routes that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.roles import READING, needed, stated
from farm.adapters.media import admit_pictures, limits_of
from farm.domain.people import Role
from tests.unit.adapters.test_media import png
from tests.unit.api.conftest import World
from tests.unit.api.routes_of import RouteOf, routes_of

KEYS = {role: f"a-long-key-of-a-{role.value}" for role in Role}
API_KEYS = ",".join(f"{role.value}-one:{role.value}:{key}" for role, key in KEYS.items())
BOB = "a-long-key-of-another-artist"

OPEN = {
    "GET /healthz",
    "GET /readyz",
    "GET /version",
    "GET /",
    "GET /submit",
    "GET /workers",
    "GET /jobs/{job_id}",
    "GET /web/{build}/{name:path}",
    "POST /session",
    "DELETE /session",
}
"""Routes that tell nothing of the farm's work, or that ask for the key itself. `/api/v1` is left out of names, so the
dashboard's pages and the API's lists share some: see `is_open`."""

ALL = routes_of(World().app)


def is_open(route: RouteOf) -> bool:
    """Whether it needs no key."""
    is_api = route.path.startswith("/api/v1/") and not route.path.endswith("/session")
    return route.name in OPEN and not is_api


def least(route: RouteOf) -> Role:
    """The least role that it asks for."""
    return needed(route.handler, route.method).role


ASKING = [route for route in ALL if not is_open(route)]
named = pytest.mark.parametrize("route", ASKING, ids=lambda route: route.name)


def called(client: TestClient, route: RouteOf) -> int:
    """The status of a call of a route, with nothing in it."""
    path = route.path
    for name, value in {
        "{path:path}": "video.mp4",
        "{number}": "1",
        "{sha256}": "0" * 64,
        "{key_id}": "0" * 12,
    }.items():
        path = path.replace(name, value)
    while "{" in path:
        path = path[: path.index("{")] + "none" + path[path.index("}") + 1 :]
    return client.request(route.method, path).status_code


def test_every_route_is_walked() -> None:
    names = {route.name for route in ALL}
    assert len(ALL) > 50
    assert {"POST /jobs", "PUT /models/{name}", "GET /metrics", "HEAD /jobs/{job_id}/outputs/{path:path}"} <= names
    assert {route.name for route in ALL if is_open(route)} == OPEN


@pytest.mark.parametrize(
    "route", [route for route in ASKING if route.method not in READING], ids=lambda route: route.name
)
def test_every_route_that_changes_something_says_what_role_it_needs(route: RouteOf) -> None:
    assert stated(route.handler) is not None, (
        f"{route.name} ({route.handler.__module__}.{route.handler.__name__}) says no role: only admins may use it. Put "
        f"`@needs(Role.ARTIST)`, `@needs(Role.ARTIST, own_job=True)` or `@needs(Role.ADMIN)` below its @router line."
    )


def test_a_route_that_says_nothing_is_for_viewers_if_it_reads_and_for_admins_if_it_changes() -> None:
    assert needed(object(), "GET").role is Role.VIEWER
    assert needed(object(), "POST").role is Role.ADMIN


@named
def test_no_route_answers_without_a_key(route: RouteOf, keyed: World) -> None:
    assert called(keyed.client(), route) == 401


@pytest.mark.parametrize(
    "route", [route for route in ASKING if least(route) is not Role.VIEWER], ids=lambda route: route.name
)
def test_no_route_answers_a_lesser_role(route: RouteOf, keyed: World) -> None:
    for role in Role:
        status = called(keyed.client(key=KEYS[role]), route)
        assert (status == 403) is not role.covers(least(route)), f"{role} at {route.name}: {status}"


@pytest.fixture(scope="module")
def keyed() -> World:
    """A farm with a key for each role."""
    return World(api_keys=f"{API_KEYS},bob:artist:{BOB}", rate_per_address=0)


def test_a_refusal_says_what_role_is_needed(keyed: World) -> None:
    answer = keyed.client(key=KEYS[Role.VIEWER]).post("/api/v1/jobs", json={})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:farm:problem:role-needed"
    assert "needs the role artist; 'viewer-one' is viewer" in answer.json()["detail"]
    assert "farm user set viewer-one --role artist" in answer.json()["detail"]


def test_an_artist_decides_about_their_own_jobs_only() -> None:
    world = World(api_keys=f"{API_KEYS},bob:artist:{BOB}")
    ann, bob, admin = (world.client(key=key) for key in (KEYS[Role.ARTIST], BOB, KEYS[Role.ADMIN]))
    job = ann.post("/api/v1/jobs", json=request_in(world)).json()
    path = f"/api/v1/jobs/{job['id']}"
    for answer in (
        bob.post(f"{path}/actions", json={"action": "pause"}),
        bob.patch(path, json={"priority": 99}),
        bob.delete(path),
    ):
        assert answer.status_code == 403
        assert "'artist-one''s" in answer.json()["detail"]
    assert bob.get(path).json()["status"] == "queued"
    assert ann.post(f"{path}/actions", json={"action": "pause"}).json()["job"]["status"] == "paused"
    assert admin.post(f"{path}/actions", json={"action": "resume"}).json()["job"]["status"] == "queued"


def test_a_job_that_is_not_there_is_nobodys(keyed: World) -> None:
    answer = keyed.client(key=BOB).post("/api/v1/jobs/none/actions", json={"action": "pause"})
    assert answer.status_code == 404


def test_a_key_without_a_role_opens_everything(make: Callable[[str], TestClient]) -> None:
    for text in ("a-long-key-with-no-name", "ann:a-long-key-with-no-role", "ann:key:with:colons:in:it"):
        assert make(text).get("/api/v1/me").json()["role"] == "admin"


@pytest.fixture
def make() -> Callable[[str], TestClient]:
    """A client with the key of an entry of FARM_API_KEYS."""

    def client(text: str) -> TestClient:
        return World(api_keys=text).client(key=text.removeprefix("ann:"))

    return client


def request_in(world: World) -> dict[str, Any]:
    """A job of 3 frames in a farm."""

    def upload(count: int, value: int) -> str:
        pictures = [(f"{number:04}.png", png(8, 6, value)) for number in range(1, count + 1)]
        return f"upload:{admit_pictures(pictures, 'clip', world.blobs, limits_of(world.settings)).id}"

    return {"input": {"uri": upload(3, 9)}, "segments": [{"name": "face", "mask": upload(1, 255)}]}
