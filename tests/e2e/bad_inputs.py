"""What people hand in by mistake, and how the farm says no over HTTP: for a test, and to be read."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import httpx
import numpy as np

from farm.adapters.pictures import encode_png
from farm.domain.detailer import JobType
from tests.e2e import shots
from tests.e2e.shots import Handed
from tests.unit.adapters.clips import make_clip, pictures


class Refusal(NamedTuple):
    """One mistake and the answer to it."""

    mistake: str
    words: tuple[str, ...]
    """What the answer must say: what was seen, what is needed, what to change."""
    status: int
    problem: dict[str, Any]

    @property
    def detail(self) -> str:
        """The answer's text."""
        return str(self.problem.get("detail", ""))


def huge_png() -> bytes:
    """The header of a picture of 30,000 x 30,000 px, 70 bytes in all."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def climbing_zip() -> bytes:
    """A zip whose member would be written beside the folder that it is unpacked in."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../0001.png", encode_png(shots.picture(0)))
    return out.getvalue()


def cut_video(folder: Path) -> bytes:
    """A video whose end, where its index lies, was lost on the way."""
    return make_clip(folder / "cut.mp4", list(pictures(24))).read_bytes()[:2000]


class Mistakes:
    """Makes mistakes at an API that has a shot's clip and masks."""

    def __init__(self, url: str, handed: Handed, folder: Path) -> None:
        """
        Args:
            folder: for files that are made on the way.
        """
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=60)
        self._handed = handed
        self._folder = folder

    def __enter__(self) -> Mistakes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def all(self) -> Iterator[Refusal]:
        """Every mistake with its answer."""
        for name, words, make in (*self._uploads(), *self._jobs()):
            answer = make()
            yield Refusal(name, words, answer.status_code, answer.json())

    def _uploads(self) -> list[tuple[str, tuple[str, ...], Callable[[], httpx.Response]]]:
        def put(name: str, data: bytes) -> Callable[[], httpx.Response]:
            return lambda: self._http.post("/uploads", params={"name": name}, content=data)

        broken = np.random.default_rng(1).bytes(5000)
        return [
            ("a broken video", ("clip.mp4", "such as MP4"), put("clip.mp4", cut_video(self._folder))),
            ("no video at all", ("clip.mp4", "such as MP4"), put("clip.mp4", b"\0\0\0\x18ftypmp42" + broken)),
            ("an empty file", ("empty, 0 bytes", "Give a video"), put("clip.mp4", b"")),
            (
                "a picture of 30,000 x 30,000 px",
                ("30000x30000", "at most 100,000,000", "FARM_MAX_PIXELS"),
                put("0001.png", huge_png()),
            ),
            ("a zip that points outside", ("../0001.png", "points outside"), put("clip.zip", climbing_zip())),
        ]

    def _jobs(self) -> list[tuple[str, tuple[str, ...], Callable[[], httpx.Response]]]:
        clip = self._handed.clip

        def submit(**changes: Any) -> Callable[[], httpx.Response]:  # noqa: ANN401 - fields of the request
            body = shots.request(self._handed, JobType.MASK).model_dump(mode="json", exclude_unset=True)
            return lambda: self._http.post("/jobs", json={**body, **changes})

        def masked(data: list[bytes]) -> Callable[[], httpx.Response]:
            uri = self._uploaded(data)
            return submit(segments=[{"name": "face", "mask": uri}])

        small, black, good = np.full((9, 9), 255, np.uint8), np.zeros((96, 128), np.uint8), shots.mask("left", 0)
        return [
            (
                "a clip that was never uploaded",
                ("no upload 'nothing'", "Upload the file first"),
                submit(input={"uri": "upload:nothing"}),
            ),
            (
                "a path that points outside",
                ("'../../etc/passwd'", "POST /api/v1/uploads"),
                submit(input={"uri": "../../etc/passwd"}),
            ),
            ("a mask of another size", ("9x9 px", "128x96 px", "Scale the mask"), masked([encode_png(small)])),
            (
                "masks of another count",
                ("3 frames", "28 (one per frame of the clip)", "Add or remove"),
                masked([encode_png(np.roll(good, n)) for n in range(3)]),
            ),
            ("an empty mask", ("is empty", "Paint what is to be repainted"), masked([encode_png(black)])),
            (
                "a range outside of the clip",
                ("'20-40'", "frames 1 to 28", "Choose a range inside"),
                submit(input={"uri": clip, "frames": "20-40"}),
            ),
            ("a range backwards", ("'9-3'", "3-9"), submit(input={"uri": clip, "frames": "9-3"})),
            ("an unknown sampler", ("'eulr'", "euler"), submit(detailer={"sampler_name": "eulr"})),
            ("an unknown scheduler", ("'karas'", "karras"), submit(detailer={"scheduler": "karas"})),
            ("an unknown model", ("'sdxl'", "it has: tiny", "farm model add"), submit(model="sdxl")),
            ("a denoise above 1", ("`detailer.denoise` is 2", "at most 1"), submit(detailer={"denoise": 2})),
            ("no steps", ("`detailer.steps` is 0", "at least 1"), submit(detailer={"steps": 0})),
            ("a parameter that is none", ("`detailer.stesp`", "`steps`"), submit(detailer={"stesp": 3})),
        ]

    def _uploaded(self, files: list[bytes]) -> str:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for number, data in enumerate(files, 1):
                archive.writestr(f"{number:04d}.png", data)
        answer = self._http.post("/uploads", params={"name": "mask.zip"}, content=out.getvalue())
        assert answer.status_code == 201, answer.text
        return str(json.loads(answer.text)["uri"])
