"""What every store promises, held by each: in memory, in a folder, and on a real S3 server."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.adapters.blob_names import MAX_NAME_BYTES, BadName
from farm.adapters.file_blobs import FileBlobs
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.s3 import PART_BYTES, S3Blobs
from farm.errors import NotFound
from farm.ports import Blobs

NAMES = ["a/1.png", "a/2.png", "a/3/x.json", "b", "jobs/7/frames/000001.png"]

STORES = ["memory", "file", pytest.param("s3", marks=pytest.mark.servers)]


@pytest.fixture(params=STORES)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs()
    elif request.param == "file":
        yield FileBlobs(tmp_path / "store")
    else:
        yield cast(S3Blobs, request.getfixturevalue("blobs_s3"))


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one byte", "1.3 MB"])
def test_what_was_put_is_got(blobs: Blobs, data: bytes) -> None:
    blobs.put("a/b.png", data, "image/png")
    assert blobs.get("a/b.png") == data
    assert blobs.size("a/b.png") == len(data)
    assert blobs.exists("a/b.png")


def test_a_listing_goes_on_behind_a_folder_of_any_size(blobs: Blobs) -> None:
    for name in ("jobs/a/chunks/000001.json", "jobs/a/frames/1.png", "jobs/a/job.json", "jobs/b/job.json"):
        blobs.put(name, b"x")
    assert list(blobs.list("jobs/", "jobs/a/~")) == ["jobs/b/job.json"]
    assert list(blobs.list("jobs/", "jobs/b/~")) == []


def test_a_put_takes_the_place_of_what_was_there(blobs: Blobs) -> None:
    blobs.put("a", b"a longer first content")
    blobs.put("a", b"second")
    assert blobs.get("a") == b"second"
    assert list(blobs.list("")) == ["a"]


def test_readers_see_the_old_content_or_the_new_never_a_mix(blobs: Blobs) -> None:
    contents = [bytes([digit]) * 300_000 for digit in range(4)]
    blobs.put("a", contents[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(blobs.put, "a", contents[turn % 4]) for turn in range(24)]
        seen = {blobs.get("a") for _ in range(24)}
        for write in writes:
            write.result()
    assert seen <= set(contents)


def test_a_missing_blob_is_not_found_and_the_message_names_it(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put("a/b", b"")
    for name in ("gone/away.png", "a", "a/b/c"):
        assert not blobs.exists(name)
        assert blobs.size(name) is None
        with pytest.raises(NotFound, match=name):
            blobs.get(name)
        with pytest.raises(NotFound):
            blobs.get_range(name, 0, 1)
        with pytest.raises(NotFound):
            blobs.get_range(name, 0, 0)
        with pytest.raises(NotFound):
            blobs.get_to_file(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [0, 10, PART_BYTES + 1], ids=["empty", "small", "in two parts"])
def test_files_go_in_and_out(blobs: Blobs, tmp_path: Path, size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    (tmp_path / "in").write_bytes(content)
    blobs.put_file("dir/file", tmp_path / "in")
    blobs.get_to_file("dir/file", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in", "out"]


@pytest.mark.parametrize(
    ("start", "length", "wanted"),
    [(0, 3, b"012"), (4, 2, b"45"), (8, 99, b"89"), (9, 1, b"9"), (10, 1, b""), (50, 5, b""), (3, 0, b"")],
)
def test_a_range_is_cut_at_the_end(blobs: Blobs, start: int, length: int, wanted: bytes) -> None:
    blobs.put("digits", b"0123456789")
    assert blobs.get_range("digits", start, length) == wanted


def test_names_are_listed_in_order_by_their_beginning(blobs: Blobs) -> None:
    for name in reversed(NAMES):
        blobs.put(name, b"")
    assert list(blobs.list("")) == NAMES
    assert list(blobs.list("a/")) == ["a/1.png", "a/2.png", "a/3/x.json"]
    assert list(blobs.list("a/2")) == ["a/2.png"]
    assert list(blobs.list("jobs/7/fr")) == ["jobs/7/frames/000001.png"]
    assert list(blobs.list("nothing/")) == []


def test_a_listing_goes_on_after_a_name_also_one_that_is_gone_by_now(blobs: Blobs) -> None:
    for name in NAMES:
        blobs.put(name, b"")
    for at, name in enumerate(NAMES):
        assert list(blobs.list("", after=name)) == NAMES[at + 1 :]
    assert list(blobs.list("a/", after="a/2.png")) == ["a/3/x.json"]
    blobs.delete(["a/2.png"])
    assert list(blobs.list("a/", after="a/2.png")) == ["a/3/x.json"]


def test_a_listing_of_several_pages_is_complete(blobs: Blobs) -> None:
    names = [f"many/{number:04d}" for number in range(1203)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: blobs.put(name, b""), names))
    assert list(blobs.list("many/")) == names
    blobs.delete(names)
    assert list(blobs.list("many/")) == []


PARTS = st.sampled_from(["a", "ab", "a-b", "a.b", "b", "ü", "z z", "%41", "+"])


@given(names=st.sets(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
def test_any_listing_gives_each_name_once_and_goes_on_where_it_stopped(blobs: Blobs, names: set[str]) -> None:
    blobs.delete(list(blobs.list("")))
    leaves = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
    for name in leaves:
        blobs.put(name, b"")
    listed = list(blobs.list(""))
    assert sorted(listed) == sorted(leaves)
    for at, name in enumerate(listed):
        assert list(blobs.list("", after=name)) == listed[at + 1 :]


def test_deleting_is_thorough_and_forgiving(blobs: Blobs) -> None:
    for name in NAMES:
        blobs.put(name, b"")
    blobs.delete(name for name in ["a/1.png", "never/was", "a/3/x.json", "a"])
    assert list(blobs.list("")) == ["a/2.png", "b", "jobs/7/frames/000001.png"]
    blobs.delete([])


@pytest.mark.parametrize(
    "name",
    [
        *("", "/etc/passwd", "../up", "a/../../b", "a/..", "./a", "a//b", "a/", ".", "a\nb", "a\0b", "a\\b", "\udcff"),
        *("x" * 256, "/".join(["y" * 200] * 5), "a/.part"),
    ],
)
def test_names_that_could_leave_the_store_are_rejected(blobs: Blobs, tmp_path: Path, name: str) -> None:
    (tmp_path / "in").write_bytes(b"")
    for action in (
        lambda: blobs.put(name, b""),
        lambda: blobs.put_file(name, tmp_path / "in"),
        lambda: blobs.get(name),
        lambda: blobs.get_range(name, 0, 1),
        lambda: blobs.get_to_file(name, tmp_path / "out"),
        lambda: blobs.exists(name),
        lambda: blobs.size(name),
        lambda: blobs.delete([name]),
        lambda: blobs.url(name, 60),
    ):
        with pytest.raises(BadName, match="Use a relative name"):
            action()


@pytest.mark.parametrize("prefix", ["/", "/etc", "..", "../", "a/../", "a//", "a\0"])
def test_prefixes_that_could_leave_the_store_are_rejected(blobs: Blobs, prefix: str) -> None:
    with pytest.raises(BadName):
        list(blobs.list(prefix))


@pytest.mark.parametrize("name", ["ü/日本語.png", "a b+c%20&?#=;:@,$!*'().png", "a/" + "x" * 255, ".hidden/...x"])
def test_unusual_names_are_kept_as_they_are(blobs: Blobs, name: str) -> None:
    blobs.put(name, b"1")
    assert list(blobs.list("")) == [name]
    assert blobs.get(name) == b"1"


def test_a_name_may_be_as_long_as_the_limit_says(blobs: Blobs) -> None:
    name = "/".join(["y" * 99] * (MAX_NAME_BYTES // 100))
    blobs.put(name, b"1")
    assert list(blobs.list("")) == [name]


def test_a_link_reads_the_blob_without_keys_or_there_is_none(blobs: Blobs) -> None:
    blobs.put("a b/ü.png", b"pixels", "image/png")
    link = blobs.url("a b/ü.png", 60)
    if link is not None:
        with urllib.request.urlopen(link) as answer:
            assert answer.read() == b"pixels"
            assert answer.headers["Content-Type"] == "image/png"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(link.replace("Signature=", "Signature=0"))


def test_a_listing_tells_sizes_and_ages(blobs: Blobs) -> None:
    before = time.time()
    for name in NAMES:
        blobs.put(name, name.encode() * 3)
    found = list(blobs.entries("a/"))
    assert [(entry.name, entry.size) for entry in found] == [(name, 3 * len(name)) for name in sorted(NAMES[:3])]
    assert all(before - 2 <= entry.modified <= time.time() + 2 for entry in found)  # some stores tell whole seconds
    assert len(list(blobs.entries(""))) == len(NAMES)


def test_a_listing_can_go_on_behind_a_whole_folder(blobs: Blobs) -> None:
    for job in ("20260101-a", "20260101-b", "20260102-a"):
        for name in ("chunks/000000.json", "frames/0001.png", "job.json", "video.mp4"):
            blobs.put(f"jobs/{job}/{name}", b"x")
    found: list[str] = []
    after = ""
    while listed := list(islice(blobs.list("jobs/", after), 1)):
        found.append(listed[0].split("/")[1])
        after = f"jobs/{found[-1]}/~"
    assert found == ["20260101-a", "20260101-b", "20260102-a"]
