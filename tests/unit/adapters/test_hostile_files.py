"""Archives, pictures and weights that were made to do harm are refused before they can."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from farm.adapters.media import admit_file
from farm.adapters.media_segs import BadSegs, admit_segs
from farm.adapters.media_sequence import Limits
from farm.adapters.media_zip import BadZip
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.model_sources import check_paths
from farm.adapters.pictures import PictureTooLarge, picture_size
from farm.adapters.weights_header import BadWeights, read_header
from farm.errors import Rejected, TooLarge
from tests.e2e import hostile_pictures as bad
from tests.e2e.hostile_requests import weights

LIMITS = Limits(max_bytes=1 << 30, max_pixels=100_000_000)


def admitted(folder: Path, data: bytes) -> MemoryBlobs:
    """A store after a zip was handed in."""
    path, blobs = folder / "clip.zip", MemoryBlobs()
    path.write_bytes(data)
    admit_file(path, "clip.zip", blobs, LIMITS)
    return blobs


def test_a_zip_with_more_entries_than_a_clip_has_pictures_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="holds more than 200,000 pictures"):
        admitted(tmp_path, bad.crowded_zip(400_001))


def test_a_zip_that_is_packed_in_an_odd_way_is_refused(tmp_path: Path) -> None:
    data = bad.zipped([("0001.png", bad.PLAIN)], packing=zipfile.ZIP_LZMA)
    with pytest.raises(BadZip, match=r"'0001\.png' is packed by method 14; 0 and 8 are read"):
        admitted(tmp_path, data)


def test_what_is_no_picture_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    members = [("0001.png", bad.PLAIN), ("0002.png", bytes(9 << 20))]
    blobs = admitted(tmp_path, bad.zipped(members, packing=zipfile.ZIP_DEFLATED))
    sizes = sorted(blobs.size(name) or 0 for name in blobs.list("media/blobs/"))
    assert sizes == [len(bad.PLAIN), 1 << 20]


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"Overlapped|overlap|damaged"):
        admitted(tmp_path, bad.overlapping_bomb(3, 1 << 20))


def test_the_canvas_of_a_webp_is_looked_at_before_it_is_made() -> None:
    with pytest.raises(PictureTooLarge, match="16383x16383"):
        picture_size(bad.webp_canvas(16_383))


@pytest.mark.parametrize("lossless", [False, True])
def test_the_size_of_a_plain_webp_is_known_before_it_is_opened(lossless: bool) -> None:
    out = io.BytesIO()
    Image.new("RGB", (301, 207)).save(out, "WEBP", lossless=lossless)
    with pytest.raises(PictureTooLarge, match="301x207"):
        picture_size(out.getvalue(), max_pixels=301 * 207 - 1)
    assert picture_size(out.getvalue(), max_pixels=301 * 207) == (301, 207)


def test_masks_that_are_small_as_png_and_large_as_pixels_are_refused() -> None:
    with pytest.raises(TooLarge, match="640,000,000 pixels"):
        admit_segs(bad.segs(40, 4000), "segs.json", LIMITS)


def test_a_box_of_numbers_that_are_none_is_refused() -> None:
    document = b'{"header":[8,8],"segs":[{"bbox":[NaN,0,9,8],"crop_region":[0,0,8,8]}]}'
    with pytest.raises(BadSegs, match="bbox"):
        admit_segs(document, "segs.json", LIMITS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (weights(b"{}", length=1 << 63), "it has no header"),
        (weights(b'{"a":"' + b" " * (17 << 20) + b'"}'), "where 16,777,216 are read"),
        (weights(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "cannot be read"),
        (weights(b'{"a":{"shape":[1e999],"data_offsets":[0,1]}}', b"x"), "cannot be read"),
        (weights(b'{"a":{"shape":[8],"data_offsets":[-8,0]}}'), "a tensor lies from byte -8 to byte 0"),
        (
            weights(b'{"a":{"shape":[8],"data_offsets":[0,8]},"b":{"shape":[8],"data_offsets":[4,12]}}', bytes(12)),
            "two tensors lie over each other, at byte 4",
        ),
    ],
    ids=["long", "huge", "deep", "infinite", "before", "over"],
)
def test_a_header_of_weights_that_lies_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(BadWeights, match=says):
        read_header("x", lambda start, length: data[start : start + length], len(data))


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["model.ckpt"], "is a pickle, which runs code when it is read"),
        (["pipeline.py"], "is no file of a model"),
        (["a.json", "A.json"], "twice"),
        (["a.json", "a.json/b.json"], "as if it were a folder"),
        (["a/" * 200 + "a.json"], "has over 240 characters"),
        ([f"{number}.json" for number in range(10_001)], "at most 10,000 are taken"),
    ],
    ids=["pickle", "code", "capitals", "folder", "long", "many"],
)
def test_a_list_of_files_that_no_model_has_is_refused(paths: list[str], says: str) -> None:
    with pytest.raises(Rejected, match=says):
        check_paths(paths)
