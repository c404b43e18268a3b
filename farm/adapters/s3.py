"""The store on any S3 server: SeaweedFS, Ceph, AWS and others."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeVar
from uuid import uuid4

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from urllib3.exceptions import HTTPError

from farm.adapters.blob_names import check_name, check_prefix
from farm.adapters.s3_direct import POOL, USER_AGENT, DirectRequests
from farm.adapters.s3_errors import StoreRefused, translate
from farm.errors import FarmError, NotFound, Unavailable
from farm.ports import Entry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import DeleteTypeDef, ListObjectsV2OutputTypeDef

T = TypeVar("T")

RETRY_FOR_S = 10.0
"""Seconds for which an unavailable server is asked again before the caller hears of it."""

PART_BYTES = 16 << 20
"""Bytes of one part of a large upload; S3 allows 10,000 parts, so a file may have 160 GB."""

_FAULTS = (
    *(BotoCoreError, ClientError, Boto3Error, RetriesExceededError, S3DownloadFailedError),
    *(HTTPError, ConnectionResetError, ValueError),
)
"""All that boto3 raises, with what its parts below let through."""

DELETE_AT_ONCE = 1000
"""Names in one request; S3's limit."""

MAX_URL_S = 7 * 24 * 3600
"""Seconds that a signed link may live; the limit of signature version 4."""


@dataclass(frozen=True)
class S3Place:
    """Where a store lies on which S3 server, and how to speak to it."""

    bucket: str
    prefix: str = ""
    """Before every name, without slashes at its ends."""
    endpoint: str | None = None
    """URL; None: AWS."""
    public_endpoint: str | None = None
    """URL for signed links; None: `endpoint`."""
    region: str = "us-east-1"
    addressing: Literal["path", "virtual"] = "path"
    keys: tuple[str, str] | None = field(default=None, repr=False)
    """Access key id and secret; None: AWS's variables, files or roles."""
    retry_for_s: float = RETRY_FOR_S
    attempts: int = 5
    """Tries of one request by boto3 itself, inside of `retry_for_s`."""


class S3Blobs:
    """Blobs as objects of one bucket, below one prefix. Safe for threads, and for processes that fork."""

    def __init__(self, place: S3Place) -> None:
        self.place = place
        self._root = f"{place.prefix.strip('/')}/" if place.prefix.strip("/") else ""
        self._lock = Lock()
        self._clients: dict[tuple[int, str | None], tuple[S3Client, DirectRequests]] = {}

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Keep `data` under `name`, in place of what was there; readers see the old bytes or the new, never a mix."""
        key = self._key(name)

        def write(s3: "S3Client") -> None:
            if not self._direct().put(key, data, content_type):
                s3.put_object(Bucket=self.place.bucket, Key=key, Body=data, ContentType=content_type)

        self._ask(key, write)

    def put_file(self, name: str, path: PurePath, content_type: str = "application/octet-stream") -> None:
        """Keep the content of a local file under `name`, in parts where it is large."""
        key = self._key(name)

        def upload(s3: "S3Client") -> None:
            with Path(path).open("rb") as source:
                extra = {"ContentType": content_type}
                s3.upload_fileobj(source, self.place.bucket, key, ExtraArgs=extra, Config=_transfer())

        self._ask(key, upload)

    def get(self, name: str) -> bytes:
        """The bytes under `name`. Raises `NotFound`."""
        key = self._key(name)

        def read(s3: "S3Client") -> bytes:
            found = self._direct().get(key)
            if found is not None:
                return found
            with closing(s3.get_object(Bucket=self.place.bucket, Key=key)["Body"]) as body:
                return body.read()

        return self._ask(key, read)

    def get_to_file(self, name: str, path: PurePath) -> None:
        """Write the bytes under `name` to a local file, which appears whole or not at all. Raises `NotFound`."""
        key = self._key(name)
        part = Path(path).with_name(f".{uuid4().hex}.part")

        def download(s3: "S3Client") -> None:
            with part.open("wb") as target:
                s3.download_fileobj(self.place.bucket, key, target, Config=_transfer())

        try:
            self._ask(key, download)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """At most `length` bytes from byte `start`; fewer, or none, at the end. Raises `NotFound`."""
        key = self._key(name)
        if length <= 0:
            return self._nothing(name)

        def read(s3: "S3Client") -> bytes:
            asked = f"bytes={start}-{start + length - 1}"
            with closing(s3.get_object(Bucket=self.place.bucket, Key=key, Range=asked)["Body"]) as body:
                return body.read()

        try:
            return self._ask(key, read)
        except StoreRefused as error:
            if "InvalidRange" in str(error):
                return b""
            raise

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """Bytes; None where there is no such blob."""
        key = self._key(name)
        try:
            return self._ask(key, lambda s3: s3.head_object(Bucket=self.place.bucket, Key=key)["ContentLength"])
        except NotFound:
            return None

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names that begin with `prefix` and come after `after`, a page at a time.

        Sorted inside each folder; whether folder `a/` comes before or after its neighbors `a-b` and `a.b` is up to the
        server (SeaweedFS: before). `after` follows the same order: give it a name that a listing gave.
        """
        start = self._root + check_prefix(prefix)
        return (entry.name for entry in self._pages(start, self._root + after if after else ""))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The same, with size and age."""
        return self._pages(self._root + check_prefix(prefix), "")

    def delete(self, names: Iterable[str]) -> None:
        """Remove these blobs; names that are not there are no error."""
        keys = (self._key(name) for name in names)
        while page := list(islice(keys, DELETE_AT_ONCE)):
            self._delete(page)

    def url(self, name: str, expires_s: int) -> str | None:
        """A link that anyone may read the blob with, for `expires_s` seconds (at most a week)."""
        return self._sign("get_object", name, expires_s)

    def upload_url(self, name: str, expires_s: int) -> str | None:
        """A link that anyone may write the blob with (`PUT`), for `expires_s` seconds (at most a week)."""
        return self._sign("put_object", name, expires_s)

    def check(self) -> None:
        """Ask the server for one name, so that wrong settings show at the start and with advice."""
        next(self.list(""), None)

    def _key(self, name: str) -> str:
        return self._root + check_name(name)

    def _nothing(self, name: str) -> bytes:
        if not self.exists(name):
            raise NotFound(f"No blob s3://{self.place.bucket}/{self._key(name)}.")
        return b""

    def _pages(self, start: str, after: str) -> Iterator[Entry]:
        while True:
            # The name to go on after, never the server's token: it outlives a restart of the server between two pages.
            page = self._page(start, after)
            for entry in page.get("Contents", ()):
                after = entry["Key"]
                yield Entry(after.removeprefix(self._root), entry["Size"], entry["LastModified"].timestamp())
            if not page["IsTruncated"]:
                return

    def _page(self, start: str, after: str) -> "ListObjectsV2OutputTypeDef":
        return self._ask(start, lambda s3: s3.list_objects_v2(Bucket=self.place.bucket, Prefix=start, StartAfter=after))

    def _delete(self, keys: Sequence[str]) -> None:
        asked: DeleteTypeDef = {"Objects": [{"Key": key} for key in keys], "Quiet": True}

        def remove(s3: "S3Client") -> None:
            for fault in s3.delete_objects(Bucket=self.place.bucket, Delete=asked).get("Errors", ()):
                if fault.get("Code") != "NoSuchKey":
                    raise ClientError({"Error": {"Code": fault.get("Code", "")}}, "DeleteObjects")

        self._ask(keys[0], remove)

    def _sign(self, action: Literal["get_object", "put_object"], name: str, expires_s: int) -> str:
        if not 1 <= expires_s <= MAX_URL_S:
            raise StoreRefused(f"A link cannot live for {expires_s} s. Ask for 1 to {MAX_URL_S} s.")
        key = self._key(name)
        try:
            return self.client(self.place.public_endpoint).generate_presigned_url(
                action, Params={"Bucket": self.place.bucket, "Key": key}, ExpiresIn=expires_s
            )
        except (BotoCoreError, ValueError) as error:
            raise self._explain(error, key) from error

    def _ask(self, key: str, action: Callable[["S3Client"], T]) -> T:
        """The answer to `action`, asked again for a while where the server is unavailable.

        boto3 itself repeats a request, but not the reading of a body that broke off, and not for long enough to live
        through the restart of a server.
        """

        def once() -> T:
            try:
                return action(self.client())
            except _FAULTS as error:
                raise self._explain(error, key) from error

        return Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_delay(self.place.retry_for_s),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )(once)

    def _explain(self, error: Exception, key: str) -> FarmError:
        endpoint = self.place.endpoint or f"AWS S3 ({self.place.region})"
        return translate(error, f"s3://{self.place.bucket}/{key}", endpoint)

    def _direct(self) -> DirectRequests:
        return self._way(self.place.endpoint)[1]

    def client(self, endpoint: str | None = None) -> "S3Client":
        """boto3's client for this process; for a server other than the store's own, its URL."""
        return self._way(endpoint or self.place.endpoint)[0]

    def _way(self, endpoint: str | None) -> "tuple[S3Client, DirectRequests]":
        # One for each process: connections must not be shared between a parent and its forked children.
        at = (os.getpid(), endpoint)
        with self._lock:
            if at not in self._clients:
                self._clients[at] = self._connect(endpoint)
            return self._clients[at]

    def _connect(self, endpoint: str | None) -> "tuple[S3Client, DirectRequests]":
        key_id, secret = self.place.keys or (None, None)
        session = boto3.session.Session(aws_access_key_id=key_id, aws_secret_access_key=secret)
        client = session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=self.place.region,
            config=Config(
                signature_version="s3v4",
                # Else boto3 puts its own together anew, twice for each request: a tenth of what a request costs.
                user_agent=USER_AGENT,
                s3={"addressing_style": self.place.addressing},
                # Otherwise a range fails on servers that send the whole object's checksum with it.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"mode": "standard", "max_attempts": self.place.attempts},
                max_pool_connections=POOL,
                connect_timeout=5,
                read_timeout=60,
            ),
        )
        return client, DirectRequests(session, client, self.place.bucket)


def _transfer() -> TransferConfig:
    return TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
