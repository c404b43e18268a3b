"""Users and their keys over HTTP: who gets in, with what role, and for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import access as access_module
from api import session
from api.access import Access, Remembered
from api.app import create_app
from farm.adapters.memory_blobs import MemoryBlobs
from farm.domain.people import KeyRecord, Role
from farm.errors import Unavailable
from farm.ports import WorkerStatus
from farm.settings import Settings
from tests.unit.api.conftest import KEY, World

ME = "/api/v1/me"
JOBS = "/api/v1/jobs"


@pytest.fixture
def world() -> World:
    """A farm whose operator has a key in the environment."""
    return World(api_keys=f"root:{KEY}")


@pytest.fixture
def root(world: World) -> TestClient:
    return world.client(host="10.0.0.1", key=KEY)


def made(root: TestClient, name: str, role: str = "artist", **key: object) -> dict[str, Any]:
    """A new user's new key."""
    assert root.post("/api/v1/users", json={"name": name, "role": role}).status_code == 201
    answer = root.post("/api/v1/keys", json={"user": name, **key})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_user_works_with_a_key_that_an_admin_made(world: World, root: TestClient) -> None:
    key = made(root, "ann", label="laptop")["key"]
    me = world.client(host="10.0.0.9", key=key).get(ME).json()
    assert (me["name"], me["role"]) == ("ann", "artist")
    assert me["use"] == {"jobs": 0, "frames": 0, "upload_bytes": 0}


def test_a_key_is_told_once_and_never_again(world: World, root: TestClient) -> None:
    key = made(root, "ann")["key"]
    listed = root.get("/api/v1/keys").text
    secret = key.rpartition("_")[2]
    assert secret not in listed
    assert "digest" not in listed
    assert all(secret.encode() not in world.blobs.get(name) for name in world.blobs.list(""))


def test_a_revoked_key_opens_nothing_any_more(world: World, root: TestClient) -> None:
    answer = made(root, "ann")
    ann = world.client(key=answer["key"])
    assert ann.get(JOBS).status_code == 200
    assert root.delete(f"/api/v1/keys/{answer['id']}").json()["live"] is False
    assert ann.get(JOBS).status_code == 401
    assert root.delete("/api/v1/keys/000000000000").status_code == 404


def test_another_api_process_hears_of_a_revoked_key_as_soon_as_it_asks_anew(world: World, root: TestClient) -> None:
    answer = made(root, "ann")
    other = World(api_keys="x-key-of-another-process")
    access: Access = other.app.state.access
    access.people = world.app.state.access.people
    assert access.person(answer["key"]) is not None
    root.delete(f"/api/v1/keys/{answer['id']}")
    assert access.person(answer["key"]) is not None
    access._stored._clock = lambda: time.monotonic() + access_module.FRESH_S
    assert access.person(answer["key"]) is None


def test_an_expired_key_opens_nothing(world: World, root: TestClient) -> None:
    answer = made(root, "ann", days=1)
    name = f"access/keys/{answer['id']}.json"
    kept = KeyRecord.model_validate_json(world.blobs.get(name))
    over = kept.model_copy(update={"expires": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()})
    world.blobs.put(name, over.model_dump_json().encode())
    assert world.client(key=answer["key"]).get(JOBS).status_code == 401
    assert [key["live"] for key in root.get("/api/v1/keys").json()["items"]] == [False]


def test_the_right_id_with_a_wrong_secret_opens_nothing(world: World, root: TestClient) -> None:
    key = made(root, "ann")["key"]
    assert world.client(key=f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}").get(JOBS).status_code == 401
    assert world.client(key=key.replace("farm_", "farm_0")).get(JOBS).status_code == 401


def test_another_role_holds_for_the_keys_that_there_are(world: World, root: TestClient) -> None:
    ann = world.client(key=made(root, "ann")["key"])
    assert ann.post("/api/v1/uploads/collections", json={}).status_code == 422
    assert root.patch("/api/v1/users/ann", json={"role": "viewer"}).json()["role"] == "viewer"
    assert ann.post("/api/v1/uploads/collections", json={}).status_code == 403
    assert ann.get(JOBS).status_code == 200


def test_a_removed_users_keys_are_dead(world: World, root: TestClient) -> None:
    key = made(root, "ann")["key"]
    assert root.delete("/api/v1/users/ann").status_code == 204
    assert world.client(key=key).get(JOBS).status_code == 401
    assert root.get("/api/v1/users/ann").status_code == 404
    assert root.delete("/api/v1/users/ann").status_code == 404


@pytest.mark.parametrize("name", ["a/b", "../ann", "a b", "", "x" * 65, "ann\n"])
def test_a_name_that_is_none_is_refused(root: TestClient, name: str) -> None:
    assert root.post("/api/v1/users", json={"name": name}).status_code == 422


def test_what_cannot_be_done_is_said(root: TestClient) -> None:
    made(root, "ann")
    assert root.post("/api/v1/users", json={"name": "ann"}).status_code == 409
    assert root.post("/api/v1/keys", json={"user": "nobody"}).status_code == 404
    assert root.patch("/api/v1/users/ann", json={}).status_code == 422
    assert root.post("/api/v1/keys", json={"user": "ann", "days": 0}).status_code == 422
    assert root.post("/api/v1/users", json={"name": "bob", "role": "king"}).status_code == 422


def test_what_is_left_out_of_a_quota_stays_and_null_is_the_farms_default(root: TestClient) -> None:
    made(root, "ann")
    for sent, kept in [
        ({"jobs": 3, "frames": 9}, (3, 9)),
        ({"frames": None}, (3, None)),
        ({"jobs": 0}, (0, None)),
    ]:
        quota = root.patch("/api/v1/users/ann", json={"quota": sent}).json()["quota"]
        assert (quota["jobs"], quota["frames"]) == kept


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("users", {"name": "ann", "quota": {"jobs": False}}, "`quota.jobs` is false; it must be a whole number."),
        ("users", {"name": "ann", "quota": {"frames": "7"}}, '`quota.frames` is "7"; it must be a whole number.'),
        ("keys", {"user": "root", "days": True}, "`days` is true; it must be a number."),
        ("workers/w1/drain", {"grace_s": False}, "`grace_s` is false; it must be a number."),
    ],
    ids=["a quota of `false`", "a quota in quotes", "`true` days", "`false` seconds"],
)
def test_what_is_no_number_is_not_read_as_one(
    root: TestClient, world: World, path: str, body: dict[str, Any], told: str
) -> None:
    world.ledger.beat(WorkerStatus("w1", "host", 1, ("cpu",), "cpu", seen=0), 3600)
    answer = root.post(f"/api/v1/{path}", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, told)


def test_a_farm_without_keys_is_open_to_this_machine_until_the_first_one_is_made() -> None:
    world = World()
    here = world.client()
    assert here.get(ME).json()["name"] == "local"
    here.post("/api/v1/users", json={"name": "ann", "role": "artist"})
    here.post("/api/v1/users", json={"name": "root", "role": "admin"})
    assert here.post("/api/v1/keys", json={"user": "ann"}).status_code == 409
    key = here.post("/api/v1/keys", json={"user": "root"}).json()["key"]
    assert here.get(JOBS).status_code == 401
    assert world.client(host="10.0.0.9", key=key).get(ME).json()["role"] == "admin"
    last = world.client(key=key)
    assert last.delete(f"/api/v1/keys/{last.get(ME).json()['key']}").status_code == 409


def test_a_browsers_session_of_a_made_key_carries_the_role_and_ends_with_the_key(
    world: World, root: TestClient
) -> None:
    answer = made(root, "vic", "viewer")
    page = world.client(host="10.0.0.9")
    begun = page.post("/api/v1/session", json={"key": answer["key"]})
    assert begun.json() == {"user": "vic", "role": "viewer", "keys": True}
    assert answer["key"] not in begun.headers["set-cookie"]
    assert page.get("/api/v1/session").json()["role"] == "viewer"
    assert page.post(JOBS, json={}).status_code == 403
    root.delete(f"/api/v1/keys/{answer['id']}")
    assert page.get("/api/v1/session").status_code == 401


def test_who_reads_the_store_cannot_sign_a_session(world: World, root: TestClient) -> None:
    answer = made(root, "root2", "admin")
    kept = KeyRecord.model_validate_json(world.blobs.get(f"access/keys/{answer['id']}.json"))
    forged = session.sign(f"key:{answer['id']}", bytes.fromhex(kept.digest), datetime.now(UTC).timestamp())
    page = world.client()
    page.cookies.set(session.COOKIE, forged)
    assert page.get(JOBS).status_code == 401


def test_while_the_store_is_away_who_was_known_stays_known_for_a_minute() -> None:
    now, away = [0.0], [False]

    def ask(name: str) -> str:
        if away[0]:
            raise Unavailable("The store does not answer.")
        return f"{name}!"

    kept = Remembered(ask, lambda: now[0])
    assert kept.get("a") == "a!"
    away[0] = True
    now[0] = access_module.STALE_S - 1
    assert kept.get("a") == "a!"
    with pytest.raises(Unavailable):
        kept.get("b")
    now[0] = access_module.STALE_S
    with pytest.raises(Unavailable):
        kept.get("a")


def test_while_one_asks_a_store_that_hangs_the_others_go_on_with_what_was_known() -> None:
    now, inner = [0.0], list[str]()

    def ask(name: str) -> str:
        if now[0]:
            inner.append(kept.get(name))
        return f"{now[0]:g}"

    kept = Remembered(ask, lambda: now[0])
    assert kept.get("a") == "0"
    now[0] = access_module.FRESH_S
    assert (kept.get("a"), inner) == ("3", ["0"])


def test_a_farm_without_keys_stays_open_to_this_machine_while_the_store_is_away() -> None:
    world = World()
    assert world.client().get(JOBS).status_code == 200
    world.blobs.__class__ = Away
    access: Access = world.app.state.access
    access._any._clock = lambda: 1e9
    assert world.client().get(JOBS).status_code == 200


class Away(MemoryBlobs):
    """A store that does not answer."""

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        raise Unavailable("The store does not answer.")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "KEPT", 2)
    asked: list[str] = []
    kept = Remembered(lambda name: asked.append(name), lambda: 0.0)
    for name in "abca":
        kept.get(name)
    assert asked == ["a", "b", "c", "a"]


def test_a_network_is_listened_on_with_keys_of_the_store_alone(root: TestClient, world: World) -> None:
    made(root, "root2", "admin")
    create_app(world.farm, world.blobs, Settings.read(api_host="0.0.0.0"))


def test_every_role_is_known_to_the_session_page(world: World) -> None:
    for role in Role:
        found = World(api_keys=f"x:{role.value}:a-long-key-of-somebody").client(key="a-long-key-of-somebody")
        assert found.get("/api/v1/session").json()["role"] == role.value


def test_the_operators_key_leaves_a_farm_as_open_as_it_was_and_opens_it_when_it_is_locked() -> None:
    operator = "the-key-of-whoever-runs-it"
    world = World(operator_key=operator)
    assert world.client().get(ME).json() == world.client(key="any").get(ME).json()
    assert world.client(host="10.0.0.9", key=operator).get(ME).status_code == 403
    here = world.client(key=operator)
    here.post("/api/v1/users", json={"name": "ann"})
    assert here.post("/api/v1/keys", json={"user": "ann"}).status_code == 201
    assert world.client().get(ME).status_code == 401
    assert (here.get(ME).json()["name"], here.get(ME).json()["role"]) == ("local", "admin")
    page = world.client()
    assert page.post("/api/v1/session", json={"key": operator}).json()["user"] == "local"
    assert page.get(ME).status_code == 200
