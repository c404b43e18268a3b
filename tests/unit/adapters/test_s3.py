"""What the S3 adapter makes of a server's faults, each told over a real socket by a server that follows a script."""

from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import boto3
import pytest
from moto import mock_aws

from farm.adapters.daemon import free_port
from farm.adapters.file_blobs import FileBlobs
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.s3 import S3Blobs, S3Place
from farm.adapters.s3_errors import StoreRefused, StoreUnavailable
from farm.adapters.stores import BadStoreAddress, open_store
from farm.errors import NotFound, Rejected, Unavailable
from farm.settings import Settings

KEYS = ("key", "secret")


class Answer(NamedTuple):
    """What the server says to one request."""

    status: int = 200
    body: bytes = b""
    said_length: int | None = None
    """Bytes that it announces; more than it sends means that it breaks off."""


def refusal(status: int, code: str) -> Answer:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>scripted</Message></Error>"
    return Answer(status, text.encode())


class Scripted(ThreadingHTTPServer):
    """Answers by the script, its last line again and again; notes what it was asked."""

    def __init__(self, script: Sequence[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.asked = list(script), list[str]()

    def place(self, retry_for_s: float = 20) -> S3Place:
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return S3Place("bucket", endpoint=url, keys=KEYS, retry_for_s=retry_for_s, attempts=1)


class Handler(BaseHTTPRequestHandler):
    server: Scripted

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        answer = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body) if answer.said_length is None else answer.said_length))
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_POST = answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Scripted]]:
    servers: list[Scripted] = []

    def start(*script: Answer) -> Scripted:
        server = Scripted(script)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refusal(503, "SlowDown"), id="busy"),
        pytest.param(refusal(500, "InternalError"), id="broken"),
        pytest.param(refusal(429, "TooManyRequests"), id="throttled"),
        pytest.param(refusal(400, "RequestTimeout"), id="too slow"),
        pytest.param(Answer(200, b"pix", said_length=6), id="breaks off"),
    ],
)
def test_a_fault_that_passes_is_asked_again_and_not_noticed(serve: Callable[..., Scripted], fault: Answer) -> None:
    server = serve(fault, fault, Answer(200, b"pixels"))
    assert S3Blobs(server.place()).get("a") == b"pixels"
    assert server.asked == ["GET /bucket/a"] * 3


def test_a_fault_that_stays_becomes_unavailable(serve: Callable[..., Scripted]) -> None:
    server = serve(refusal(503, "SlowDown"))
    with pytest.raises(StoreUnavailable, match=r"503 SlowDown for s3://bucket/a"):
        S3Blobs(server.place(retry_for_s=0.3)).put("a", b"")
    assert len(server.asked) > 1


def test_a_server_that_is_not_there_is_unavailable() -> None:
    place = S3Place("b", endpoint=f"http://127.0.0.1:{free_port()}", keys=KEYS, retry_for_s=0, attempts=1)
    with pytest.raises(Unavailable, match=r"did not answer, or broke off, for s3://b/a"):
        S3Blobs(place).get("a")


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "AccessDenied", "Check AWS_ACCESS_KEY_ID"),
        (403, "InvalidAccessKeyId", "Check AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "Check AWS_ACCESS_KEY_ID"),
        (403, "RequestTimeTooSkewed", "set this machine's clock"),
        (400, "AuthorizationHeaderMalformed", "FARM_S3_REGION"),
        (404, "NoSuchBucket", "no bucket 'bucket'. Create it, or set FARM_S3_BUCKET"),
        (400, "EntityTooLarge", "raise its limit"),
        (400, "InvalidArgument", "Check the FARM_S3 settings"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_change(
    serve: Callable[..., Scripted], status: int, code: str, advice: str
) -> None:
    server = serve(refusal(status, code))
    with pytest.raises(StoreRefused, match=advice):
        S3Blobs(server.place()).put("a", b"")
    # Directly, and through boto3, which knows what it means.
    assert len(server.asked) == 2


def test_a_refused_look_without_a_text_is_explained_too(serve: Callable[..., Scripted]) -> None:
    with pytest.raises(StoreRefused, match="s3:ListBucket"):
        S3Blobs(serve(Answer(403)).place()).exists("a")


def test_a_download_that_breaks_off_leaves_no_file(serve: Callable[..., Scripted], tmp_path: Path) -> None:
    server = serve(Answer(200, b"", said_length=6), Answer(200, b"pix", said_length=6))
    with pytest.raises(Unavailable):
        S3Blobs(server.place(retry_for_s=0)).get_to_file("a", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_blob_that_could_not_be_deleted_is_not_passed_over(serve: Callable[..., Scripted]) -> None:
    faults = b"<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    with pytest.raises(StoreRefused, match="s3:DeleteObject"):
        S3Blobs(serve(Answer(200, faults)).place()).delete(["a"])


def test_missing_keys_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(Rejected, match="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        S3Blobs(S3Place("b", endpoint="http://127.0.0.1:1")).get("a")


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(StoreRefused, match="Check the FARM_S3 settings"):
        S3Blobs(S3Place("b", endpoint="no address", keys=KEYS)).get("a")


@pytest.mark.parametrize("seconds", [0, -1, 7 * 24 * 3600 + 1])
def test_a_link_lives_for_a_week_at_most(seconds: int) -> None:
    with pytest.raises(StoreRefused, match="1 to 604800"):
        S3Blobs(S3Place("b", endpoint="http://127.0.0.1:1", keys=KEYS)).url("a", seconds)


def test_links_are_made_for_the_address_that_users_reach() -> None:
    place = S3Place("b", "p", "http://s3.internal:8333", "https://files.example.com", keys=KEYS)
    link = S3Blobs(place).url("a.png", 60)
    assert link
    assert link.startswith("https://files.example.com/b/p/a.png?X-Amz-Algorithm=AWS4-HMAC-SHA256")


def test_virtual_addressing_puts_the_bucket_into_the_host() -> None:
    link = S3Blobs(S3Place("bkt", endpoint="https://s3.example.com", addressing="virtual", keys=KEYS)).url("a", 60)
    assert link
    assert link.startswith("https://bkt.s3.example.com/a?")


@mock_aws
def test_against_aws_as_moto_plays_it() -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="farm")
    blobs = S3Blobs(S3Place("farm", "studio/a", keys=KEYS))
    blobs.put("x/1", b"one", "text/plain")
    assert list(blobs.list("")) == ["x/1"]
    assert blobs.get_range("x/1", 1, 9) == b"ne"
    assert blobs.get_range("x/1", 3, 1) == b""
    with pytest.raises(NotFound, match="s3://farm/studio/a/x/2"):
        blobs.get("x/2")
    with pytest.raises(StoreRefused, match="no bucket 'fram'"):
        S3Blobs(S3Place("fram", keys=KEYS)).check()
    S3Blobs(S3Place("farm", keys=KEYS)).check()


def test_a_store_is_opened_by_its_address(tmp_path: Path) -> None:
    settings = Settings(s3_endpoint="http://127.0.0.1:8333", s3_addressing="virtual")
    blobs = open_store("s3://bucket/a/b/", settings)
    assert isinstance(blobs, S3Blobs)
    assert (blobs.place.bucket, blobs.place.prefix, blobs.place.addressing) == ("bucket", "a/b", "virtual")
    folder = open_store(f"file://{tmp_path}/with%20space", settings)
    assert isinstance(folder, FileBlobs)
    assert folder.root == tmp_path / "with space"
    assert isinstance(open_store("memory://", settings), MemoryBlobs)


@pytest.mark.parametrize(
    "uri", ["", "bucket", "s3://", "s3:///prefix", "file://host/x", "file:///", "gs://b", "s3://b?x"]
)
def test_an_address_that_says_nothing_is_rejected(uri: str) -> None:
    with pytest.raises(BadStoreAddress, match=r"FARM_STORE to s3://bucket/prefix, or to file:///folder"):
        open_store(uri, Settings())
