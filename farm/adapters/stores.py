"""From the address of a store to the store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from farm.adapters.file_blobs import FileBlobs
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.s3 import S3Blobs, S3Place
from farm.errors import Rejected
from farm.settings import Settings


class BadStoreAddress(Rejected):
    """The address of a store says nothing that the farm knows."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"The store address {uri!r} cannot be used. Set FARM_STORE to s3://bucket/prefix, or to file:///folder "
            f"with an absolute path on a disk that all machines share."
        )


def open_store(uri: str, settings: Settings) -> S3Blobs | FileBlobs | MemoryBlobs:
    """The store at `uri`: `s3://bucket[/prefix]` on the server of `settings`, `file:///folder`, or `memory://`.

    `memory://` is a new, empty store each time, for tests. No request is made yet.

    Raises:
        BadStoreAddress: unknown scheme, no bucket, a relative folder, or a host with `file:`.
    """
    parts = urlsplit(uri)
    if parts.scheme == "memory":
        return MemoryBlobs()
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1:
        return FileBlobs(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc and not parts.query and not parts.fragment:
        return S3Blobs(
            S3Place(
                bucket=parts.netloc,
                prefix=parts.path.strip("/"),
                endpoint=settings.s3_endpoint,
                public_endpoint=settings.s3_public_endpoint,
                region=settings.s3_region,
                addressing=settings.s3_addressing,
            )
        )
    raise BadStoreAddress(uri)
