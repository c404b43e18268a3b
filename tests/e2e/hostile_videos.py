"""Videos and playlists that were made to do harm, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from tests.unit.adapters.clips import make_clip, pictures

IDENTITY = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 0x4000_0000)


def box(kind: bytes, data: bytes) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I", 8 + len(data)) + kind + data


def full(kind: bytes, data: bytes, flags: int = 0) -> bytes:
    """A box with a version and flags."""
    return box(kind, struct.pack(">I", flags) + data)


def mp4(
    samples: int = 1, *, edits: Sequence[tuple[int, int]] = (), reference: bytes = b"", data: bytes = bytes(64)
) -> bytes:
    """A video of 64x64 px that tells of so many frames of one byte.

    Args:
        edits: its edit list: duration, first time.   reference: where its frames are said to lie, an alias or an URL.
    """
    kind = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
    entry = b"\0" * 6 + struct.pack(">H", 1) + b"\0" * 16
    entry += struct.pack(">HHIIIH", 64, 64, 0x48_0000, 0x48_0000, 0, 1) + b"\0" * 32 + struct.pack(">Hh", 24, -1)
    where = full(b"url ", reference + b"\0") if reference else full(b"url ", b"", 1)
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1) + box(b"mp4v", entry))
        + full(b"stts", struct.pack(">III", 1, samples, 1))
        + full(b"stsc", struct.pack(">IIII", 1, 1, samples, 1))
        + full(b"stsz", struct.pack(">II", 1, samples))
        + full(b"stco", struct.pack(">II", 1, len(kind) + 8)),
    )
    places = box(b"dinf", full(b"dref", struct.pack(">I", 1) + where))
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 25, samples, 0x55C4, 0))
        + full(b"hdlr", b"\0\0\0\0vide" + b"\0" * 13)
        + box(b"minf", full(b"vmhd", b"\0" * 8, 1) + places + table),
    )
    head = struct.pack(">IIIII", 0, 0, 1, 0, samples) + b"\0" * 16 + IDENTITY + struct.pack(">II", 64 << 16, 64 << 16)
    listed = b"".join(struct.pack(">IiI", length, time, 65536) for length, time in edits)
    edit = box(b"edts", full(b"elst", struct.pack(">I", len(edits)) + listed)) if edits else b""
    movie = struct.pack(">IIIIIH", 0, 0, 25, samples, 65536, 256) + b"\0" * 10 + IDENTITY + b"\0" * 24
    return (
        kind
        + box(b"mdat", data)
        + box(
            b"moov", full(b"mvhd", movie + struct.pack(">I", 2)) + box(b"trak", full(b"tkhd", head, 3) + edit + media)
        )
    )


def endless_box() -> bytes:
    """A box that says it has 2^63 bytes."""
    return box(b"ftyp", b"isom\0\0\2\0isom") + struct.pack(">I4sQ", 1, b"moov", 1 << 63) + bytes(64)


def deep_boxes(depth: int) -> bytes:
    """Boxes in boxes."""
    data = b""
    for _ in range(depth):
        data = box(b"moov", data)
    return box(b"ftyp", b"isom\0\0\2\0isom") + data


def huge_frame(folder: Path, side: int = 16_000) -> bytes:
    """A video of one black frame, side x side px, in some hundred kB."""
    path = folder / "huge.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", 25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = side
        stream.pix_fmt = "gray"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((side, side), np.uint8), format="gray")))
        out.mux(stream.encode(None))
    return path.read_bytes()


def clip(folder: Path, name: str, codec: str = "libx264", frames: int = 24) -> bytes:
    """A sound clip."""
    return make_clip(folder / name, list(pictures(frames)), codec=codec).read_bytes()


def playlists(url: str) -> list[tuple[str, bytes]]:
    """Texts that name other files and addresses, for a reader that follows them; `url`: where somebody listens."""
    texts = {
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXTINF:1,\nfile:///etc/passwd\n",
        "playlist.ffconcat": f"ffconcat version 1.0\nfile '{url}'\nfile 'file:///etc/passwd'\n",
        "manifest.mpd": f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>',
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "concat.mp4": f"concat:/etc/passwd|{url}",
    }
    found = [(name, text.encode()) for name, text in texts.items()]
    hls = texts["playlist.m3u8"].encode()
    return [
        *found,
        ("nul.m3u8", b"\0" + hls),
        ("wide.m3u8", hls.decode().encode("utf-16")),
        ("bytes.m3u8", hls + b"\xff"),
    ]
