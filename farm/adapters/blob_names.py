"""Which names a store takes: the same for every kind of store, so that a job can move between them."""

from farm.errors import Rejected

MAX_NAME_BYTES = 900
"""Bytes of UTF-8; S3 keys end at 1,024, which leaves 124 for the store's own prefix."""

MAX_PART_BYTES = 255
"""Bytes between two slashes; the limit of file systems, and of S3 servers that lie on one."""

RESERVED = ".part"
"""A folder that the file store keeps for what is being written."""


class BadName(Rejected):
    """The name of a blob could leave the store, or no store could hold it."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"Blob name {name[:120]!r} {fault}. Use a relative name such as 'jobs/7/frames/000001.png': parts between "
            f"single slashes, none of them '.' or '..', no control characters, no backslash, "
            f"{MAX_PART_BYTES} bytes a part and {MAX_NAME_BYTES} bytes in all."
        )


def check_name(name: str) -> str:
    """`name` itself, if it stays below the store's root on every kind of store.

    Raises:
        BadName: absolute, empty, with empty, `.` or `..` parts, control characters, a backslash, or too long.
    """
    if not name:
        raise BadName(name, "is empty")
    for part in name.split("/"):
        _check_part(name, part)
    _check_text(name)
    return name


def check_prefix(prefix: str) -> str:
    """`prefix` itself, if what it lists stays below the root: empty, a whole name, or the beginning of one."""
    *whole, last = prefix.split("/")
    for part in whole:
        _check_part(prefix, part)
    if last == "..":
        raise BadName(prefix, "has a part '..'")
    _check_text(prefix)
    return prefix


def _check_part(name: str, part: str) -> None:
    if not part:
        raise BadName(name, "begins or ends with a slash, or has two in a row")
    if part in (".", "..", RESERVED):
        raise BadName(name, f"has a part {part!r}")
    if len(part.encode("utf-8", "surrogatepass")) > MAX_PART_BYTES:
        raise BadName(name, "has a part that is too long")


def _check_text(name: str) -> None:
    # Backslash: a separator where the shared file system is a Windows one.
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 or letter == "\\" for letter in name):
        raise BadName(name, "has a control character or a backslash")
    if any(0xD800 <= ord(letter) < 0xE000 for letter in name):
        raise BadName(name, "is not valid Unicode")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise BadName(name, "is too long")
