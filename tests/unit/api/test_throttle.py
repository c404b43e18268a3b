"""How often somebody may ask, and where they seem to be."""

from __future__ import annotations

import pytest
from fastapi import Request

from api.address import address_of, counted_as, networks
from api.throttle import Rates, Throttle
from farm.adapters.counters import Counters
from tests.unit.api.conftest import KEY, World

JOBS = "/api/v1/jobs"
OTHER = "a-long-key-of-user-two"


def test_a_key_may_ask_so_often_a_minute_and_is_told_when_to_come_back() -> None:
    world = World(api_keys=f"ann:{KEY},bob:{OTHER}", rate_per_key=3)
    ann = world.client(host="10.0.0.9", key=KEY)
    assert [ann.get(JOBS).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    refused = ann.get(JOBS)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["content-type"] == "application/problem+json"
    assert "3 a minute with one key (FARM_RATE_PER_KEY)" in refused.json()["detail"]
    assert world.client(host="10.0.0.9", key=OTHER).get(JOBS).status_code == 200


def test_an_address_may_ask_so_often_with_whatever_key_or_none() -> None:
    world = World(api_keys=f"ann:{KEY},bob:{OTHER}", rate_per_address=3)
    assert world.client(host="10.0.0.9", key=KEY).get(JOBS).status_code == 200
    assert world.client(host="10.0.0.9").get(JOBS).status_code == 401
    assert world.client(host="10.0.0.9").get("/version").status_code == 200
    answer = world.client(host="10.0.0.9", key=OTHER).get(JOBS)
    assert answer.status_code == 429
    assert "FARM_RATE_PER_ADDRESS" in answer.json()["detail"]
    assert world.client(host="10.0.0.8", key=KEY).get(JOBS).status_code == 200


@pytest.mark.parametrize("by_session", [False, True])
def test_after_so_many_wrong_keys_an_address_is_not_let_in_even_with_a_right_one(by_session: bool) -> None:
    world = World(api_keys=f"ann:{KEY}", rate_wrong_keys=3)

    def attempt(number: int) -> int:
        if by_session:
            return world.client("10.0.0.9").post("/api/v1/session", json={"key": f"guess-{number}"}).status_code
        return world.client("10.0.0.9", key=f"guess-{number}").get(JOBS).status_code

    assert [attempt(number) for number in range(5)] == [401, 401, 401, 429, 429]
    refused = world.client("10.0.0.9", key=KEY).get(JOBS)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert world.client("10.0.0.8", key=KEY).get(JOBS).status_code == 200


def test_who_is_shut_out_is_let_in_again_after_the_time_that_was_told() -> None:
    now = [0.0]
    throttle = Throttle(Counters.in_memory(), Rates(0, 0, 1), lambda: now[0])
    assert throttle.wrong_key("10.0.0.9") == 0.0
    wait = throttle.wrong_key("10.0.0.9")
    assert throttle.shut_out("10.0.0.9") == wait
    now[0] += wait
    assert throttle.shut_out("10.0.0.9") == 0.0


def test_zero_is_no_limit() -> None:
    throttle = Throttle(Counters.in_memory(), Rates(0, 0, 0))
    assert all(throttle.request("10.0.0.9", "key")[0] == 0.0 for _ in range(50))
    assert all(throttle.wrong_key("10.0.0.9") == 0.0 for _ in range(50))


def test_defaults_let_a_benchmark_ask_a_hundred_times_a_second() -> None:
    world = World(api_keys=f"ann:{KEY}")
    assert world.settings.rate_per_key >= 2 * 100 * 60
    assert world.settings.rate_per_address >= world.settings.rate_per_key


def asked(peer: str, *forwarded: str) -> Request:
    """A request of a connection, with headers of proxies."""
    headers = [(b"x-forwarded-for", text.encode()) for text in forwarded]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.7", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.7", ("1.1.1.1, 203.0.113.9, 10.0.0.8",), "203.0.113.9"),
        ("10.0.0.7", ("1.1.1.1", "203.0.113.9"), "203.0.113.9"),
        ("10.0.0.7", (), "10.0.0.7"),
        ("10.0.0.7", ("nonsense",), "10.0.0.7"),
        ("10.0.0.7", ("203.0.113.9, unknown, 10.0.0.8",), "10.0.0.8"),
        ("::ffff:10.0.0.7", ("2001:db8::1",), "2001:db8::1"),
        # Not a proxy that is trusted: anybody can write that header.
        ("198.51.100.1", ("127.0.0.1",), "198.51.100.1"),
        ("testclient", ("127.0.0.1",), "testclient"),
    ],
)
def test_a_client_is_the_last_hop_that_is_no_trusted_proxy(peer: str, forwarded: tuple[str, ...], address: str) -> None:
    assert address_of(asked(peer, *forwarded), networks(["10.0.0.0/24"])) == address


def test_all_addresses_of_one_v6_customer_count_as_one() -> None:
    assert counted_as("2001:db8:1:2:aaaa::1") == counted_as("2001:db8:1:2:bbbb::9") == "2001:db8:1:2::/64"
    assert counted_as("2001:db8:1:3::1") != counted_as("2001:db8:1:2::1")
    assert counted_as("10.0.0.9") == "10.0.0.9"


def test_behind_a_trusted_proxy_one_guesser_does_not_shut_the_others_out() -> None:
    world = World(api_keys=f"ann:{KEY}", rate_wrong_keys=1, trusted_proxies="10.0.0.7")
    for _ in range(3):
        world.client("10.0.0.7", key="guess").get(JOBS, headers={"X-Forwarded-For": "203.0.113.9"})
    for address, status in (("203.0.113.9", 429), ("203.0.113.8", 200)):
        answer = world.client("10.0.0.7", key=KEY).get(JOBS, headers={"X-Forwarded-For": address})
        assert answer.status_code == status
