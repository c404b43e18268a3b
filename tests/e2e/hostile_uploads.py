"""What somebody may hand in to do harm, and what may come of it."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.e2e import hostile_pictures as bad
from tests.e2e import hostile_videos as videos
from tests.e2e.hostile_attack import Attack, Got, Make, Visitor

NO = (413, 422)
MAYBE = (201, 413, 422)
"""What is whole in itself may be taken, if nothing comes of what is hidden in it."""


def put(label: str, data: bytes | Callable[[], bytes], allowed: tuple[int, ...] = NO, name: str = "") -> Attack:
    """Hand in a file, called by the label's last word if it has no other name."""
    called = name or label.rsplit(" ", 1)[-1]

    def make(visitor: Visitor) -> Got:
        # What is large is made when it is sent.
        return visitor.upload(called, data if isinstance(data, bytes) else data())

    return Attack(f"upload: {label}", make, allowed, plainly_named)


def plainly_named(got: Got) -> str:
    """An upload's name has no folders, no line ends, and what it holds is what it was taken for."""
    if got.status != 201:
        return ""
    name = str(json.loads(got.body)["name"])
    return f"its name is {name!r}" if any(letter in name for letter in "/\\\r\n\0") else ""


def pictures() -> Iterator[Attack]:
    """Pictures and what pretends to be one."""
    yield put("a bomb of 50000x50000 zeros, bomb.png", lambda: bad.png(50_000, 50_000, bad.zeros(50_000 * 50_001)))
    yield put(
        "text that unpacks to 64 MB, text.png",
        bad.png(8, 6, bad.zeros(54), [(b"zTXt", b"a\0\0" + bad.zeros(64 << 20))]),
        MAYBE,
    )
    yield put(
        "a profile that unpacks to 64 MB, icc.png",
        bad.png(8, 6, bad.zeros(54), [(b"iCCP", b"a\0\0" + bad.zeros(64 << 20))]),
        MAYBE,
    )
    yield put(
        "1e9 frames declared, animated.png", bad.png(8, 6, bad.zeros(54), [(b"acTL", b"\x3b\x9a\xca\0\0\0\0\0")]), MAYBE
    )
    yield put("cut short, cut.png", bad.PLAIN[:40])
    yield put("a canvas of 16383x16383, canvas.webp", bad.webp_canvas(16_383))
    yield put("cut short, cut.webp", bad.webp_canvas(64)[:60])
    yield put(
        "cut short, cut.jpg",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08\xff\xff\xff\xff\3\1\x22\0",
    )
    yield put("tags that lead nowhere, odd.tif", bad.odd_tiff())
    yield put("60000x60000, large.tiff", bad.tiff([(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8)]))
    yield put("a picture that is a zip too, polyglot.png", bad.PLAIN + bad.zipped([("../x.png", bad.PLAIN)]), MAYBE)
    texts = {"page.png": bad.HTML, "script.svg": bad.SVG, "magick.mvg": bad.MVG, "eps.png": bad.EPS}
    for name, data in {
        **texts,
        "postscript.png": bad.POSTSCRIPT,
        "document.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    }.items():
        yield put(f"called a picture, {name}", data)
    for head in (b"8BPS\0\1", b"\x76\x2f\x31\x01", b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\1\0\1\0"):
        yield put(f"a format that is not read, {head[:4]!r}.png", head + bytes(500), name="other.png")


def archives() -> Iterator[Attack]:
    """Zips and other archives."""
    yield put("100 members of 90 MB of zeros, flat.zip", lambda: bad.flat_bomb(100, 90 << 20))
    yield put("1000 members over each other, overlapping.zip", lambda: bad.overlapping_bomb(1000, 1 << 20))
    yield put("a member larger than it says, lying.zip", lambda: bad.lying_zip(100, 20 << 20))
    yield put("a member smaller than it says, boasting.zip", bad.lying_zip(4_000_000_000, 1000))
    nested = bad.zipped([("a.zip", bad.zipped([("0001.png", bad.PLAIN)]))])
    yield put("a zip in a zip, nested.zip", nested)
    yield put("500,000 entries, crowded.zip", lambda: bad.crowded_zip(500_000))
    places = (
        "../../0001.png",
        "/etc/0001.png",
        "C:\\0001.png",
        "..\\..\\0001.png",
        "a/../../0001.png",
        "\\\\host\\x.png",
    )
    for place in places:
        yield put(f"a member called {place}, places.zip", bad.zipped([(place, bad.PLAIN)]), name="places.zip")
    yield put("a link, link.zip", bad.linked_zip())
    yield put("a device, device.zip", bad.zipped([("0001.png", bad.PLAIN)], stat.S_IFCHR | 0o666), MAYBE)
    yield put("a name twice, twice.zip", bad.zipped([("0001.png", bad.PLAIN), ("a/0001.png", bad.PLAIN)]))
    yield put("names that differ in case, case.zip", bad.zipped([("A1.png", bad.PLAIN), ("a1.png", bad.PLAIN)]))
    for other in ("\u202e0001.png", "\uff0e\uff0e\uff0f0001.png", "a\u0301 1.png"):
        yield put(f"an odd name, {other!r}.zip", bad.zipped([(other, bad.PLAIN)]), MAYBE, "odd.zip")
    yield put("zeros, zeros.gz", lambda: bad.gz(64 << 20))
    yield put("a tar that climbs out, climbing.tar.gz", bad.tarball())
    yield put("cut short, cut.zip", bad.zipped([("0001.png", bad.PLAIN)])[:-12])
    yield put("no entry, empty.zip", b"PK\5\6" + bytes(18))
    huge = lambda: bad.zipped([("0001.png", bytes(300 << 20))], packing=zipfile.ZIP_BZIP2)  # noqa: E731 - made when it is sent
    yield put("300 MB in 200 bytes, bzip2.zip", huge)
    yield put("300 MB of zeros, deflated.zip", lambda: bad.flat_bomb(1, 300 << 20))


def moving(folder: Path, url: str) -> Iterator[Attack]:
    """Videos and what leads their reader elsewhere; `url`: where it would be seen."""
    sound, matroska = videos.clip(folder, "sound.mp4"), videos.clip(folder, "sound.mkv")
    yield put("cut short, cut.mp4", sound[: len(sound) // 2])
    yield put("cut short, cut.mkv", matroska[: len(matroska) // 2], MAYBE)
    yield put(
        "bytes turned over, noise.mp4",
        sound[:600] + bytes(255 - byte for byte in sound[600:-900]) + sound[-900:],
        MAYBE,
    )
    for frames in (1_000_000, 80_000_000, 1_000_000_000):
        yield put(f"{frames:,} frames in 700 bytes, frames.mp4", videos.mp4(frames))
    yield put("a box of 2^63 bytes, box.mp4", videos.endless_box())
    yield put("10,000 boxes in boxes, deep.mp4", videos.deep_boxes(10_000))
    yield put("100,000 edits, edits.mp4", videos.mp4(edits=[(1 << 30, -1), (1, 1 << 30)] * 50_000))
    yield put("a frame of 16000x16000, huge.mov", videos.huge_frame(folder))
    yield put("frames that lie elsewhere, reference.mp4", videos.mp4(reference=url.encode()))
    yield put("frames in /etc/passwd, alias.mp4", videos.mp4(reference=b"file:///etc/passwd"))
    for name, data in videos.playlists(url):
        yield put(f"a list of addresses, {name}", data)


def documents() -> Iterator[Attack]:
    """JSON, and what should never be loaded."""
    texts = {
        "nested 100,000 deep": b'{"header":' + b"[" * 100_000,
        "a number of a million digits": b'{"header":[8,' + b"9" * 1_000_000 + b'],"segs":[]}',
        "NaN": b'{"header":[8,8],"segs":[{"bbox":[NaN,0,1e999,8],"crop_region":[0,0,8,8]}]}',
        "a text of 64 MB": b'{"header":"' + b"a" * (64 << 20) + b'"}',
        "half a character": b'{"header":[8,8],"segs":[{"bbox":[0,0,8,8],"crop_region":[0,0,8,8],"label":"\\ud800"}]}',
        "400 masks of 4000x4000 that are small as PNG": bad.segs(400, 4000),
        "a region outside": b'{"header":[8,8],"segs":[{"bbox":[0,0,8,8],"crop_region":[-9,-9,999999999,8]}]}',
    }
    for label, data in texts.items():
        yield put(f"{label}, segs.json", data)
    for name in ("model.ckpt", "model.pt", "model.bin", "model.pkl"):
        yield put(f"a pickle, {name}", bad.pickled())
    yield put("what torch.save writes, model.pth", bad.torch_zip())


def transfers() -> Iterator[Attack]:
    """The transfer itself."""
    other = hashlib.sha256(b"other").hexdigest()
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="../../etc/x.png"\r\n\r\n'
        + bad.PLAIN
        + b"\r\n--b--\r\n"
    )
    many = (
        b"".join(b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % n for n in range(1000))
        + b"--b--\r\n"
    )

    yield Attack("upload: another digest than announced", lambda v: v.upload("a.png", bad.PLAIN, sha256=other), (422,))
    yield Attack("upload: a digest that is none", lambda v: v.upload("a.png", bad.PLAIN, sha256="../x"), (422,))
    for label, body, kind, allowed in (
        ("a form whose file climbs out", form, "multipart/form-data; boundary=b", (201,)),
        ("a form of 1,000 fields", many, "multipart/form-data; boundary=b", (422,)),
        ("a form without a boundary", form, "multipart/form-data", (422,)),
        ("a form that never ends", form[:-7], "multipart/form-data; boundary=b", (422,)),
        ("a picture that says it is JSON", bad.PLAIN, "application/json", (201,)),
        ("a boundary of 10,000 characters", form, "multipart/form-data; boundary=" + "b" * 10_000, (422,)),
    ):
        yield Attack(
            f"upload: {label}", _posted("/api/v1/uploads", body, {"Content-Type": kind}), allowed, plainly_named
        )
    for query in (
        "name=../../x.png",
        "name=%00.png",
        "name=" + "n" * 5000,
        "name=%2e%2e%2fx.png",
        "name=a%0d%0aX-Bad:1.png",
    ):
        target = _posted(f"/api/v1/uploads?{query}", bad.PLAIN)
        yield Attack(f"upload: {query[:40]}", target, (201, 422), plainly_named)
    yield Attack(
        "blob: bytes under another digest", _posted(f"/api/v1/uploads/blobs/{other}", b"x", method="PUT"), (422,)
    )
    yield Attack(
        "blob: a name that climbs out",
        _posted("/api/v1/uploads/blobs/..%2f..%2fx", b"x", method="PUT"),
        (404, 405, 422),
    )
    too_many = {"Content-Length": str(1 << 40)}
    yield Attack("upload: a terabyte, as it says", _posted("/api/v1/uploads", b"x", too_many), (413,))


def _posted(target: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST") -> Make:
    return lambda visitor: visitor.ask(method, target, body, headers)
