"""Redis and S3 behind TLS with a CA of one's own, and a bucket in the host's name."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import pytest

from farm.adapters import servers
from farm.adapters.celery_queue import CeleryQueue, make_app
from farm.adapters.redis_ledger import RedisLedger
from farm.adapters.s3 import S3Blobs
from farm.adapters.servers import EmbeddedS3
from farm.adapters.stores import open_store
from farm.errors import Rejected, Unavailable
from farm.ports import Offer
from farm.settings import Settings
from tests.servers import running
from tests.tls import make_authority, tls_before

pytestmark = pytest.mark.servers
OFFER = Offer("job", "plan.0", "plan", "cpu")


def secured(url: str, port: int, host: str = "127.0.0.1") -> str:
    """The address of the same Redis, with TLS."""
    parts = urlsplit(url)
    return parts._replace(scheme="rediss", netloc=f":{parts.password}@{host}:{port}").geturl()


def test_ledger_and_broker_speak_tls_to_a_redis_whose_ca_is_one_s_own(redis_url: str, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    port = urlsplit(redis_url).port
    assert port
    with tls_before(port, authority) as entrance:
        address = secured(redis_url, entrance)
        known = Settings.read(redis_url=address, redis_ca=authority.ca).require_redis_url()
        ledger = RedisLedger(known)
        ledger.ping()
        ledger.close()
        CeleryQueue(make_app(known)).send([OFFER])
        with make_app(known).connection_for_read() as connection:
            assert connection.default_channel.queue_declare("cpu").message_count == 1
            connection.default_channel.queue_purge("cpu")


def test_a_redis_whose_ca_is_unknown_is_not_trusted(redis_url: str, tmp_path: Path) -> None:
    authority, other = make_authority(tmp_path), tmp_path / "other"
    other.mkdir()
    port = urlsplit(redis_url).port
    assert port
    with tls_before(port, authority) as entrance:
        for ca in (None, make_authority(other).ca):
            known = Settings.read(redis_url=secured(redis_url, entrance), redis_ca=ca).require_redis_url()
            ledger = RedisLedger(known)
            with pytest.raises(Unavailable, match="certificate"):
                ledger.ping()
            ledger.close()
            with pytest.raises(Unavailable):
                CeleryQueue(make_app(known)).send([OFFER])


def test_s3_is_spoken_to_with_tls_and_a_ca_of_one_s_own(
    s3_server: EmbeddedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path)
    port = urlsplit(s3_server.endpoint).port
    assert port
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    with tls_before(port, authority) as entrance:
        endpoint = f"https://localhost:{entrance}"
        settings = Settings.read(s3_endpoint=endpoint, s3_prefix="tls")
        refused = open_store(settings.store_uri(), settings)
        assert isinstance(refused, S3Blobs)
        with pytest.raises(Rejected, match="certificate"):
            refused.put("a", b"b")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.ca))
        store = open_store(settings.store_uri(), settings)
        store.put("a", b"b")
        assert store.get("a") == b"b"
        assert str(store.url("a", 60)).startswith(f"{endpoint}/{s3_server.bucket}/tls/a?")


def test_a_bucket_may_be_a_part_of_the_host_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_FIXED", (*servers._FIXED, "-s3.domainName=s3.example"))
    server = EmbeddedS3(tmp_path)
    with running(server):
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        port = urlsplit(server.endpoint).port
        # No name server here knows the host; a proxy does, and the server can be its own.
        monkeypatch.setenv("http_proxy", server.endpoint)
        monkeypatch.setenv("no_proxy", "")
        settings = Settings.read(s3_endpoint=f"http://s3.example:{port}", s3_addressing="virtual")
        store = open_store(settings.store_uri(), settings)
        store.put("a/b", b"c")
        assert store.get("a/b") == b"c"
        assert list(store.list("a/")) == ["a/b"]
        link = str(store.url("a/b", 60))
        assert link.startswith(f"http://{server.bucket}.s3.example:{port}/a/b?")
        with build_opener(ProxyHandler({"http": server.endpoint})).open(link) as answer:
            assert answer.read() == b"c"
