"""Addresses of Redis, as people write them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from redis.sentinel import SentinelConnectionPool

from farm.adapters.redis_address import RedisAddress
from farm.errors import Rejected
from farm.settings import Settings

THREE = "sentinel://ann:s%40cret@a:1,b,[::1]:3/2?master=farm&sentinel_password=w%2Fatch"


def test_one_server_is_taken_as_redis_py_takes_it() -> None:
    address = RedisAddress.read("redis://:secret@host:6380/3")
    assert address.where == "redis://host:6380/3"
    kwargs = address.client().connection_pool.connection_kwargs
    assert (kwargs["host"], kwargs["port"], kwargs["db"], kwargs["password"]) == ("host", 6380, 3, "secret")
    assert address.broker().url == "redis://:secret@host:6380/3"
    assert address.broker().tls is None


def test_sentinels_are_told_apart_from_the_server_that_they_watch() -> None:
    address = RedisAddress.read(THREE)
    assert address.sentinels == (("a", 1), ("b", 26379), ("::1", 3))
    assert address.where == "sentinel://a:1,b,[::1]:3/2"
    pool = address.client(decode_responses=True).connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "farm"
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("ann", "s@cret")
    assert pool.connection_kwargs["db"] == 2
    watchers = [watcher.connection_pool.connection_kwargs for watcher in pool.sentinel_manager.sentinels]
    assert [(at["host"], at["port"]) for at in watchers] == [("a", 1), ("b", 26379), ("::1", 3)]
    assert all(at["password"] == "w/atch" and at.get("username") is None for at in watchers)


def test_the_broker_is_told_the_same() -> None:
    broker = RedisAddress.read(THREE).broker()
    login = "sentinel://ann:s%40cret@"
    assert broker.url == f"{login}a:1/2;{login}b:26379/2;{login}[::1]:3/2"
    assert broker.options["master_name"] == "farm"
    assert broker.options["sentinel_kwargs"]["password"] == "w/atch"


def test_tls_asks_for_a_certificate_always() -> None:
    for url in ("rediss://:pw@host:6380/0", "sentinels://:pw@host:26380/0?master=farm"):
        known = Settings.read(redis_url=url, redis_ca=Path("/ca.crt")).require_redis_url()
        broker = RedisAddress.read(known).broker()
        assert broker.tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca.crt"}
        assert "ssl_ca_certs" not in broker.url
        pool = RedisAddress.read(known).client().connection_pool
        assert pool.connection_kwargs["ssl_ca_certs"] == "/ca.crt"
    plain = Settings.read(redis_url="redis://host/0", redis_ca=Path("/ca.crt"))
    assert plain.require_redis_url() == "redis://host/0"


def test_no_password_is_shown() -> None:
    address = RedisAddress.read(THREE)
    for text in (repr(address), repr(address.broker()), address.where):
        assert "cret" not in text
        assert "atch" not in text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sentinel://:pw@host:26379/0", "which primary"),
        ("sentinel://:pw@/0?master=x", "names no host"),
        ("sentinel://:pw@host:port/0?master=x", "'host:port' is not host:port"),
        ("sentinel://:pw@host/zero?master=x", "'zero' is no number"),
        ("sentinel://:pw@host/0?master=x&mode=fast", "unknown option mode"),
        ("amqp://:pw@host/0", "begins with amqp"),
    ],
)
def test_what_leads_nowhere_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(Rejected, match=said) as caught:
        RedisAddress.read(url)
    assert "?master=NAME" in str(caught.value)
    assert "pw" not in str(caught.value)
