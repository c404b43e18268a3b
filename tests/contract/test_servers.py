"""The embedded servers, for real: what they keep, who may enter, and how they are found again."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from farm.adapters.daemon import AlreadyRunning
from farm.adapters.s3 import S3Blobs, S3Place
from farm.adapters.s3_errors import StoreRefused
from farm.adapters.servers import EmbeddedRedis, EmbeddedS3
from tests.servers import running

pytestmark = pytest.mark.servers


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path)
    with running(server):
        yield server


@pytest.fixture(scope="module")
def own_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedS3]:
    server = EmbeddedS3(tmp_path_factory.mktemp("own_s3") / 'a folder, "quoted"')
    with running(server):
        yield server


def listening(pid: int) -> set[str]:
    """Addresses, as Linux writes them in hexadecimal, on which a process listens."""
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    rows = [row.split() for table in ("tcp", "tcp6") for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


LOOPBACK_HEX = socket.inet_aton("127.0.0.1")[::-1].hex().upper()


def test_redis_keeps_what_it_was_told_and_its_address_over_a_restart(own_redis: EmbeddedRedis) -> None:
    url = own_redis.url
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.set("kept", "yes")
        own_redis.stop()
        assert not own_redis.running
        own_redis.start()
        assert own_redis.url == url
        assert client.get("kept") == "yes"


def test_redis_loses_nothing_when_it_is_killed(own_redis: EmbeddedRedis) -> None:
    with redis.Redis.from_url(own_redis.url, decode_responses=True) as client:
        client.set("kept", "yes")
        own_redis.stop(grace_s=0)
        own_redis.start()
        assert client.get("kept") == "yes"


def test_redis_never_forgets_to_make_room_and_speaks_to_loopback_with_a_password(own_redis: EmbeddedRedis) -> None:
    with redis.Redis.from_url(own_redis.url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    with redis.Redis.from_url(own_redis.url.replace("://:", "://:wrong")) as client, pytest.raises(redis.RedisError):
        client.ping()
    assert own_redis.pid
    assert listening(own_redis.pid) == {LOOPBACK_HEX}
    assert own_redis.url.split(":")[2].split("@")[0].encode() not in Path(f"/proc/{own_redis.pid}/cmdline").read_bytes()


def test_a_port_and_a_password_can_be_asked_for(tmp_path: Path, own_redis: EmbeddedRedis) -> None:
    port = int(own_redis.url.rsplit(":", 1)[1].split("/")[0])
    own_redis.stop()
    server = EmbeddedRedis(tmp_path / 'other, "quoted"', port, "open-sesame")
    with running(server):
        assert server.url == f"redis://:open-sesame@127.0.0.1:{port}/0"


def test_others_find_the_servers_by_the_folder(own_redis: EmbeddedRedis, tmp_path: Path, own_s3: EmbeddedS3) -> None:
    assert EmbeddedRedis(tmp_path).environment() == {"FARM_REDIS_URL": own_redis.url}
    with pytest.raises(AlreadyRunning):
        EmbeddedRedis(tmp_path).start()
    with pytest.raises(AlreadyRunning):
        own_s3.start()
    assert not EmbeddedRedis(tmp_path / "elsewhere").running


def test_s3_keeps_blobs_address_and_keys_over_a_stop_and_a_kill(own_s3: EmbeddedS3) -> None:
    variables, store = own_s3.environment(), S3Blobs(own_s3.place("kept"))
    for turn, grace_s in enumerate((0.0, 15.0)):
        store.put(f"blob-{turn}", b"pixels" * 100_000)
        own_s3.stop(grace_s)
        own_s3.start()
        assert own_s3.environment() == variables
        assert store.get(f"blob-{turn}") == b"pixels" * 100_000
    assert list(store.list("")) == ["blob-0", "blob-1"]


def test_s3_leaves_no_blobs_of_its_own_in_the_bucket(own_s3: EmbeddedS3) -> None:
    assert [name for name in S3Blobs(own_s3.place()).list("") if not name.startswith("kept/")] == []


def test_s3_listens_on_loopback_only(own_s3: EmbeddedS3) -> None:
    assert own_s3.pid
    assert listening(own_s3.pid) == {LOOPBACK_HEX}


def test_s3_lets_in_only_who_has_the_keys(own_s3: EmbeddedS3) -> None:
    key_id, _ = own_s3.keys
    for keys in ((key_id, "wrong"), ("stranger", "wrong")):
        with pytest.raises(StoreRefused, match="Check AWS_ACCESS_KEY_ID"):
            S3Blobs(S3Place(own_s3.bucket, endpoint=own_s3.endpoint, keys=keys)).check()


def test_a_bucket_that_does_not_exist_is_not_made_by_a_typing_error(own_s3: EmbeddedS3) -> None:
    store = S3Blobs(S3Place("fram", endpoint=own_s3.endpoint, keys=own_s3.keys))
    with pytest.raises(StoreRefused, match="no bucket 'fram'"):
        store.put("a", b"")
    with pytest.raises(StoreRefused, match="FARM_S3_BUCKET"):
        store.check()


def test_secrets_are_on_disk_for_the_owner_only(own_s3: EmbeddedS3, own_redis: EmbeddedRedis, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "redis" / "redis.conf").stat().st_mode) == 0o600
    assert own_s3.pid
    assert own_s3.keys[1].encode() not in Path(f"/proc/{own_s3.pid}/cmdline").read_bytes()
