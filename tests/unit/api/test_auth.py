"""Who may ask."""

from __future__ import annotations

import pytest

from api.auth import Keys, OpenToTheWorld, is_loopback
from tests.unit.api.conftest import KEY, World

JOBS = "/api/v1/jobs"


def test_a_key_opens_the_api_in_either_header() -> None:
    world = World(api_keys=f"ann:{KEY},another-key-for-a-script")
    assert world.client(host="10.0.0.9", key=KEY).get(JOBS).status_code == 200
    assert world.client().get(JOBS, headers={"X-API-Key": "another-key-for-a-script"}).status_code == 200


@pytest.mark.parametrize("key", ["", "wrong", f"ann:{KEY}", KEY[:-1]])
def test_no_key_and_a_wrong_key_are_refused_even_from_this_machine(key: str) -> None:
    answer = World(api_keys=f"ann:{KEY}").client(key=key).get(JOBS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_job_belongs_to_the_owner_of_the_key() -> None:
    keys = Keys([f"ann:{KEY}", "another-key-for-a-script"])
    assert (keys.user(KEY), keys.user("another-key-for-a-script"), keys.user("x")) == ("ann", "key-2", None)


@pytest.mark.parametrize("path", [JOBS, "/api/v1/uploads/check", "/api/v1/jobs:recover", "/metrics", "/api/v1/models"])
def test_nothing_of_the_farm_is_told_without_a_key(path: str) -> None:
    client = World(api_keys=KEY).client()
    assert 401 in {client.get(path).status_code, client.post(path, json=[]).status_code}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version", "/", "/submit", "/jobs/x", "/openapi.json"])
def test_what_tells_nothing_needs_no_key(path: str) -> None:
    assert World(api_keys=KEY).client().get(path).status_code == 200


def test_without_keys_only_this_machine_is_answered() -> None:
    world = World()
    assert world.client().get(JOBS).status_code == 200
    answer = world.client(host="192.168.1.5").get(JOBS)
    assert answer.status_code == 403
    assert "Set FARM_API_KEYS" in answer.json()["detail"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_without_keys_a_proxy_on_this_machine_does_not_open_it_to_others(header: str) -> None:
    assert World().client().get(JOBS, headers={header: "127.0.0.1"}).status_code == 403


def test_without_keys_a_foreign_page_in_a_local_browser_is_refused() -> None:
    world = World()
    assert world.client().get(JOBS, headers={"Origin": "https://evil.example"}).status_code == 403
    assert world.client(base_url="http://evil.example:8750").get(JOBS).status_code == 403
    assert world.client().get(JOBS, headers={"Origin": "http://127.0.0.1:8750"}).status_code == 200


def test_the_api_does_not_start_on_a_network_without_keys() -> None:
    with pytest.raises(
        OpenToTheWorld, match=r"listen on 0\.0\.0\.0.*Set FARM_API_KEYS=.*or FARM_API_HOST=127\.0\.0\.1"
    ):
        World(api_host="0.0.0.0")
    World(api_host="0.0.0.0", api_keys=KEY)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "::ffff:127.0.0.1")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "", "x")),
    ],
)
def test_which_addresses_are_this_machine(host: str, local: bool) -> None:
    assert is_loopback(host) is local
