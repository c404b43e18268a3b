"""Media admission: what is let in, what is refused and with which words."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from farm.adapters.media import (
    Limits,
    MissingFile,
    UnknownContent,
    admit_file,
    admit_path,
    admit_pictures,
    admit_prefix,
)
from farm.adapters.media_sequence import BadSequence, NoPictures
from farm.adapters.media_zip import BadZip
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.pictures import encode_png
from farm.domain.media import Media
from farm.errors import Rejected, TooLarge
from farm.settings import Settings

LIMITS = Limits(max_bytes=50_000_000, max_pixels=4_000_000)


def png(width: int = 8, height: int = 6, value: int = 255) -> bytes:
    return encode_png(np.full((height, width), value, np.uint8))


def huge_png(side: int = 30_000) -> bytes:
    """A PNG whose header says 30,000 x 30,000 px and which holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


def file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def zipped(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "clip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def admit(path: Path, blobs: MemoryBlobs | None = None) -> Media:
    return admit_path(path, blobs or MemoryBlobs(), LIMITS)


def test_one_picture_is_a_sequence_of_one(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    media = admit(file(tmp_path, "face.png", png()), blobs)
    assert (media.kind, media.width, media.height, media.frames, media.first_number) == ("pictures", 8, 6, 1, 1)
    assert blobs.get(f"media/blobs/{hashlib.sha256(png()).hexdigest()}") == png()
    assert Media.model_validate_json(blobs.get(f"media/{media.id}.json")) == media


def test_pictures_are_ordered_by_number_and_keep_their_names(tmp_path: Path) -> None:
    for number in (9, 10, 11):
        file(tmp_path, f"shot_010.{number}.png", png(value=number))
    file(tmp_path, "notes.txt", b"not a picture")
    file(tmp_path, ".hidden.png", b"nor this")
    media = admit(tmp_path)
    assert [(picture.number, picture.name) for picture in media.pictures] == [
        (9, "shot_010.9.png"),
        (10, "shot_010.10.png"),
        (11, "shot_010.11.png"),
    ]
    assert media.first_number == 9


def test_the_same_pictures_have_the_same_id_and_others_another() -> None:
    blobs = MemoryBlobs()
    one = admit_pictures([("1.png", png()), ("2.png", png(value=3))], "a", blobs, LIMITS)
    same = admit_pictures([("2.png", png(value=3)), ("1.png", png())], "b", blobs, LIMITS)
    other = admit_pictures([("1.png", png()), ("2.png", png(value=4))], "a", blobs, LIMITS)
    assert one.id == same.id != other.id


def test_the_first_picture_of_another_size_is_named() -> None:
    pictures = [(f"{n:04}.png", png(8 if n < 3 else 9)) for n in range(1, 6)]
    with pytest.raises(BadSequence, match=r"0003\.png is 9x6 px, 0001\.png is 8x6 px\. Scale 0003\.png to 8x6"):
        admit_pictures(pictures, "clip", MemoryBlobs(), LIMITS)


def test_two_pictures_with_one_number_are_refused() -> None:
    with pytest.raises(BadSequence, match=r"'a1\.png' and 'b1\.png' in 'clip' are both frame 1"):
        admit_pictures([("a1.png", png()), ("b1.png", png())], "clip", MemoryBlobs(), LIMITS)


def test_a_picture_without_a_number_among_numbered_ones_is_refused() -> None:
    with pytest.raises(BadSequence, match=r"'cover\.png' in 'clip' has no number"):
        admit_pictures([("1.png", png()), ("cover.png", png())], "clip", MemoryBlobs(), LIMITS)


def test_pictures_without_numbers_are_counted_by_name() -> None:
    media = admit_pictures([("b.png", png()), ("a.png", png())], "clip", MemoryBlobs(), LIMITS)
    assert [(picture.number, picture.name) for picture in media.pictures] == [(1, "a.png"), (2, "b.png")]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoPictures, match=r"holds no pictures\. Put numbered pictures there"):
        admit(tmp_path)


@pytest.mark.parametrize(("values", "empty"), [((0, 0), True), ((0, 1), False), ((255,), False)])
def test_a_mask_is_empty_if_no_pixel_of_any_frame_is_set(values: tuple[int, ...], empty: bool) -> None:
    pictures = [(f"{n}.png", png(value=value)) for n, value in enumerate(values)]
    assert admit_pictures(pictures, "mask", MemoryBlobs(), LIMITS).empty is empty


def test_a_damaged_picture_in_the_middle_is_let_in_to_fail_its_own_chunk() -> None:
    pictures = [("1.png", png()), ("2.png", png()[:-20]), ("3.png", b"nothing of a picture"), ("4.png", png())]
    media = admit_pictures(pictures, "clip", MemoryBlobs(), LIMITS)
    assert media.frames == 4


@pytest.mark.parametrize("data", [png()[:-36], png()[:12]], ids=["cut", "header cut"])
def test_a_clip_of_which_no_picture_can_be_read_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(
        BadSequence, match=r"Not one picture of 'face\.png' can be read\. face\.png: The picture cannot"
    ):
        admit(file(tmp_path, "face.png", data))


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"bomb\.png: The picture is 30000x30000.*raise FARM_MAX_PIXELS"):
        admit(file(tmp_path, "bomb.png", huge_png()))


@pytest.mark.parametrize(
    ("data", "seen"), [(b"", "is empty, 0 bytes"), (b"hello, I am text\n", "is text, beginning with 'hello, I am text")]
)
def test_text_and_nothing_are_no_picture(tmp_path: Path, data: bytes, seen: str) -> None:
    with pytest.raises(UnknownContent, match=seen):
        admit(file(tmp_path, "0001.png", data))


def test_a_playlist_never_reaches_the_video_reader(tmp_path: Path) -> None:
    with pytest.raises(UnknownContent, match="is text"):
        admit(file(tmp_path, "clip.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"There is no file or folder '.*clip\.mp4'\. Check the path"):
        admit(tmp_path / "clip.mp4")


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = file(tmp_path, "1.png", png() + b"\0" * 2000)
    with pytest.raises(TooLarge, match=r"has 2,0\d\d bytes; at most 1,000 are taken.*FARM_MAX_UPLOAD_BYTES"):
        admit_file(path, "1.png", MemoryBlobs(), Limits(1000, 1000))


def test_a_zip_of_pictures_is_a_sequence(tmp_path: Path) -> None:
    members = {"clip/0002.png": png(), "clip/0001.png": png(), "clip/readme.txt": b"-", "__MACOSX/clip/0001.png": b"-"}
    media = admit(zipped(tmp_path, members))
    assert [picture.name for picture in media.pictures] == ["0001.png", "0002.png"]


@pytest.mark.parametrize("name", ["../0001.png", "/etc/0001.png", "a/../../0001.png", "..\\0001.png", "C:\\0001.png"])
def test_a_zip_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadZip, match=r"its member .* points outside of it\. Give a plain zip"):
        admit(zipped(tmp_path, {"0000.png": png(), name: png()}))


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    link = zipfile.ZipInfo("0001.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadZip, match="is a link, not a picture"):
        admit(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0001.png", b"\0" * 2_000_000)
    with pytest.raises(TooLarge, match="unpacks to 2,000,000 bytes; at most 1,000,000 are taken"):
        admit_file(path, "clip.zip", MemoryBlobs(), Limits(1_000_000, 1000))


def test_a_member_that_lies_about_its_size_is_not_unpacked_beyond_it(tmp_path: Path) -> None:
    path = tmp_path / "clip.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0001.png", b"\0" * 2_000_000)
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<I", 2_000_000), data.index(b"PK\x01\x02"))
    data[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    with pytest.raises(Rejected):
        admit(path)


def test_a_huge_picture_in_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"0002\.png: The picture is 30000x30000"):
        admit(zipped(tmp_path, {"0001.png": png(), "0002.png": huge_png()}))


def test_a_cut_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"0001.png": png()})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadZip, match="damaged or cut short"):
        admit(path)


def test_a_prefix_of_the_store_is_read_one_level_deep() -> None:
    blobs = MemoryBlobs()
    for name in ("shots/a/0001.png", "shots/a/0002.png", "shots/a/more/0003.png", "shots/ab/0004.png"):
        blobs.put(name, png())
    media = admit_prefix("shots/a/", blobs, LIMITS, Settings.read())
    assert [picture.name for picture in media.pictures] == ["0001.png", "0002.png"]
    assert all(picture.blob.startswith("media/blobs/") for picture in media.pictures)


def test_a_prefix_must_end_in_a_slash() -> None:
    with pytest.raises(BadSequence, match=r"does not end in a slash.*Write 'shots/a/'"):
        admit_prefix("shots/a", MemoryBlobs(), LIMITS, Settings.read())


def test_a_prefix_without_pictures_is_refused() -> None:
    with pytest.raises(NoPictures, match="'shots/a/' holds no pictures"):
        admit_prefix("shots/a/", MemoryBlobs(), LIMITS, Settings.read())


def segs(**changes: object) -> bytes:
    entry = {"bbox": [1, 1, 4, 4], "crop_region": [0, 0, 8, 6], "mask": base64.b64encode(png()).decode(), **changes}
    return json.dumps({"header": [6, 8], "segs": [entry]}).encode()


def test_a_segs_document_is_described_by_its_header(tmp_path: Path) -> None:
    media = admit(file(tmp_path, "faces.json", segs()))
    assert (media.kind, media.width, media.height, media.frames, media.empty) == ("segs", 8, 6, 1, False)


def test_a_segs_document_with_a_mask_per_frame_has_that_many_frames(tmp_path: Path) -> None:
    mask = base64.b64encode(png(value=0)).decode()
    media = admit(file(tmp_path, "faces.json", segs(mask=[mask, mask, mask])))
    assert (media.frames, media.empty) == (3, True)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"crop_region": [0, 0, 9, 6]}, r"segs\.0\.crop_region is \(0, 0, 9, 6\), which hangs out of the 8x6 px"),
        ({"mask": "?"}, r"segs\.0\.mask is not base64"),
        ({"mask": base64.b64encode(b"text").decode()}, r"segs\.0\.mask is no picture"),
        ({"mask": base64.b64encode(png(5, 5)).decode()}, r"segs\.0\.mask is 5x5 px, its crop_region is 8x6 px"),
        ({"bbox": [4, 4, 1, 1]}, r"x2 must be right of x1"),
        ({"confidence": 7}, r"segs\.0\.confidence: Input should be less than or equal to 1"),
    ],
)
def test_a_segs_document_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, object], fault: str
) -> None:
    with pytest.raises(Rejected, match=fault):
        admit(file(tmp_path, "faces.json", segs(**changes)))


def test_json_that_is_no_segs_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"'x\.json' cannot be used: header: Field required"):
        admit(file(tmp_path, "x.json", b'{"a": 1}'))
