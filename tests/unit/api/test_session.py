"""A browser's session."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from api import session
from api.auth import Keys
from tests.unit.api.conftest import HERE, KEY, World

SESSION = "/api/v1/session"
JOBS = "/api/v1/jobs"


def opened(world: World) -> TestClient:
    client = world.client(host="10.0.0.9")
    assert client.post(SESSION, json={"key": KEY}).status_code == 200
    return client


def test_the_key_is_sent_once_and_the_cookie_stands_for_it() -> None:
    client = opened(World(api_keys=f"ann:{KEY}"))
    assert client.get(JOBS).status_code == 200
    assert client.get(SESSION).json() == {"user": "ann", "role": "admin", "keys": True}


def test_no_script_and_no_other_site_gets_at_the_cookie() -> None:
    answer = World(api_keys=f"ann:{KEY}").client().post(SESSION, json={"key": KEY})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert KEY not in cookie


def test_behind_tls_the_cookie_never_goes_in_the_clear() -> None:
    client = World(api_keys=f"ann:{KEY}").client()
    answer = client.post(SESSION, json={"key": KEY}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


def test_a_wrong_key_opens_no_session() -> None:
    answer = World(api_keys=f"ann:{KEY}").client().post(SESSION, json={"key": "wrong"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


def test_without_keys_there_is_nothing_to_open() -> None:
    client = World().client()
    assert client.get(SESSION).json() == {"user": "local", "role": "admin", "keys": False}
    assert client.post(SESSION, json={"key": "any"}).status_code == 401


def test_a_session_ends_when_it_is_told_to() -> None:
    client = opened(World(api_keys=f"ann:{KEY}"))
    assert client.delete(SESSION).status_code == 204
    assert client.get(JOBS).status_code == 401


def test_a_page_of_another_site_cannot_use_the_cookie() -> None:
    client = opened(World(api_keys=f"ann:{KEY}"))
    foreign = {"Origin": "https://evil.example"}
    assert client.get(JOBS, headers={"Origin": HERE, "Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert client.post(f"{JOBS}/x/actions", json={"action": "cancel"}, headers=foreign).status_code == 403
    assert client.get(JOBS, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_session_ends_with_its_key_and_with_its_time() -> None:
    keys, cookie = Keys([f"ann:{KEY}"]), Keys([f"ann:{KEY}"]).session("ann", KEY)
    assert keys.session_user(cookie) == "ann"
    assert Keys(["ann:another-long-key-of-ann"]).session_user(cookie) is None
    assert Keys([f"bob:{KEY}"]).session_user(cookie) is None
    signed = session.sign("ann", b"secret", now=1000)
    assert session.valid(signed, [b"other", b"secret"], now=1000 + session.LIFE_S - 1)
    assert not session.valid(signed, [b"secret"], now=1000 + session.LIFE_S)


@pytest.mark.parametrize("cookie", ["", ".", "..", "YW5u.99999999999.", "YW5u.99999999999.00", "\xff.1.x", "a.b.c.d"])
def test_what_was_not_signed_here_is_nobody(cookie: str) -> None:
    assert Keys([f"ann:{KEY}"]).session_user(cookie) is None


def test_a_longer_life_cannot_be_written_into_a_cookie() -> None:
    user, until, mark = session.sign("ann", b"secret", now=0).split(".")
    assert not session.valid(f"{user}.{int(until) + 1}.{mark}", [b"secret"], now=0)
