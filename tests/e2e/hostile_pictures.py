"""Pictures, archives and texts that were made to do harm, as bytes."""

from __future__ import annotations

import base64
import gzip
import io
import json
import pickle
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from farm.adapters.pictures import encode_png, encode_webp

PLAIN = encode_png(np.full((6, 8, 3), 90, np.uint8))
"""A sound picture, 8x6."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes = b"", more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A gray PNG of that size, with further chunks before its pixels, which need not be there."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *more, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def zeros(size: int) -> bytes:
    """`size` zeros as zlib packs them, a thousandth of that."""
    packer, blocks, left = zlib.compressobj(9), [], size
    while left > 0:
        blocks.append(packer.compress(bytes(min(left, 1 << 20))))
        left -= 1 << 20
    return b"".join([*blocks, packer.flush()])


def webp_canvas(side: int) -> bytes:
    """An extended WebP whose canvas has that side."""
    small = encode_webp(np.zeros((4, 4, 3), np.uint8), 50)
    size = (side - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size + size + small[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(tags: Sequence[tuple[int, int, int, int]]) -> bytes:
    """A TIFF of these tags: number, type, count, value or offset."""
    rows = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + b"\0\0\0\0"


def odd_tiff() -> bytes:
    """A TIFF whose tags point outside of it, tell of two thousand million strips, and go in circles."""
    size = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    return tiff([*size, (273, 4, 2_000_000_000, 0xFFFF_FFF0), (279, 4, 2_000_000_000, 8), (330, 4, 1, 8)])


def zipped(members: Sequence[tuple[str, bytes]], mode: int = 0, packing: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members; `mode`: what Unix calls them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = packing, mode << 16
            archive.writestr(info, data)
    return out.getvalue()


def linked_zip() -> bytes:
    """A zip with a link to /etc/passwd, called a picture."""
    return zipped([("0001.png", b"/etc/passwd")], stat.S_IFLNK | 0o777)


def lying_zip(stated: int, real: int) -> bytes:
    """A member that unpacks to `real` zeros, where zip's table states another size."""
    data = zipped([("0001.png", bytes(real))], packing=zipfile.ZIP_DEFLATED)
    return data.replace(struct.pack("<I", real), struct.pack("<I", stated))


def flat_bomb(members: int, size: int) -> bytes:
    """Many members of `size` zeros each, all honest about it."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(bytes(size)) + packed.flush()
    return _raw_zip([(f"{number:05}.png", data, size, zlib.crc32(bytes(size))) for number in range(members)])


def overlapping_bomb(members: int, size: int) -> bytes:
    """Many members that share one piece of packed zeros."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(bytes(size)) + packed.flush()
    return _raw_zip([(f"{n:05}.png", data, size, zlib.crc32(bytes(size))) for n in range(members)], shared=True)


def crowded_zip(members: int) -> bytes:
    """A table of contents with so many entries of no bytes."""
    return _raw_zip([(f"{number:07}.png", b"", 0, 0) for number in range(members)], shared=True)


def _raw_zip(members: Sequence[tuple[str, bytes, int, int]], *, shared: bool = False) -> bytes:
    bodies, table, at = [], [], 0
    for number, (name, data, size, crc) in enumerate(members):
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 8 if size else 0, 0, 33, crc, len(data), size, len(name), 0)
        offset = 0 if shared else at
        table.append(
            b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name.encode()
        )
        if not shared or not number:
            bodies.append(b"PK\3\4" + fields + name.encode() + data)
            at += len(bodies[-1])
    entries = b"".join(table)
    end = struct.pack("<HHHHIIH", 0, 0, len(members) & 0xFFFF, len(members) & 0xFFFF, len(entries), at, 0)
    return b"".join(bodies) + entries + b"PK\5\6" + end


def tarball() -> bytes:
    """A tar whose member climbs out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("../../0001.png")
        info.size = len(PLAIN)
        archive.addfile(info, io.BytesIO(PLAIN))
    return out.getvalue()


class _Mean:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("a pickle was read",)


def pickled() -> bytes:
    """A pickle that runs code when it is read."""
    return pickle.dumps(_Mean())


def torch_zip() -> bytes:
    """What `torch.save` writes: a zip with a pickle."""
    return zipped([("archive/data.pkl", pickled()), ("archive/version", b"3\n")])


def segs(entries: int, side: int) -> bytes:
    """A SEGS document with masks of side x side px, all black: small as PNG."""
    row = b"\0" + bytes(side)
    mask = base64.b64encode(png(side, side, zeros(len(row) * side))).decode()
    entry = {"bbox": [0, 0, side, side], "crop_region": [0, 0, side, side], "mask": mask}
    return json.dumps({"header": [side, side], "segs": [entry] * entries}).encode()


def gz(size: int) -> bytes:
    """Zeros in a gzip."""
    return gzip.compress(bytes(size))


MVG = b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(https://127.0.0.1:1/x.jpg\"|ls \"-la)'\npop graphic-context\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><image href="file:///etc/passwd"/></svg>'
CUT_JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffc0001108ffffffff03012200")
"""The head of a JPEG of 65535x65535."""
HTML = b"<!doctype html><script>alert(document.cookie)</script>"
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file 1024 string readstring pop =\n"
EPS = b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH", 30, len(POSTSCRIPT), 0, 0, 0, 0, 0xFFFF) + POSTSCRIPT
