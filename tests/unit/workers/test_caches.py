"""What a process keeps in memory is bounded in number and in bytes, whatever passes through it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.domain import keys
from farm.domain.media import Media, Picture
from farm.service import documents
from farm.service.documents import Documents
from workers import context, pictures_cache
from workers.context import Tools
from workers.pictures_cache import PictureCache


class Counting(MemoryBlobs):
    """A store that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.got = self.stored = 0

    def get(self, name: str) -> bytes:
        self.got += 1
        return super().get(name)

    def put(self, name: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self.stored += 1
        super().put(name, data, content_type)


def test_small_documents_are_kept_up_to_a_number_and_large_ones_up_to_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Counting()
    pictures = tuple(Picture(number=n, name=f"{n}.png", blob=f"media/blobs/{n}") for n in range(100))
    for number in range(100):
        for name, listed in (("small", ()), ("large", pictures)):
            media = Media(id=f"{name}{number}", kind="pictures", name="x", width=1, height=1, frames=1, pictures=listed)
            blobs.put(keys.media_doc(media.id), media.model_dump_json().encode())
    monkeypatch.setattr(documents, "KEPT_BYTES", 25_000)
    for name, kept in (("small", documents.KEPT), ("large", documents.KEPT_LARGE)):
        read = Documents(blobs)
        for number in range(100):
            read.media(f"{name}{number}")
        blobs.got = 0
        for number in reversed(range(100 - kept, 100)):
            read.media(f"{name}{number}")
        assert blobs.got == 0, "the latest are kept"
        read.media(f"{name}{99 - kept}")
        assert blobs.got == 1, "and no more"


def test_objects_are_kept_up_to_a_number_and_to_fewer_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Counting()
    for number in range(100):
        blobs.put(f"small{number}", b"x")
        blobs.put(f"large{number}", b"x" * 3000)
    monkeypatch.setattr(context, "KEPT_BYTES", 20_000)
    for name, kept in (("small", context.KEPT_OBJECTS), ("large", context.KEPT_LARGE)):
        tools = Tools(blobs, Path("cache"), lambda: pytest.fail("no engine"), 10**6)
        for number in range(100):
            tools.object(f"{name}{number}", bytes)
        blobs.got = 0
        for number in reversed(range(100 - kept, 100)):
            tools.object(f"{name}{number}", bytes)
        assert blobs.got == 0
        tools.object(f"{name}{99 - kept}", bytes)
        assert blobs.got == 1
        tools.forget(f"{name}99")
        tools.object(f"{name}99", bytes)
        assert blobs.got == 2


def test_pictures_are_bounded_in_number_and_the_same_one_is_stored_once() -> None:
    blobs = Counting()
    cache = PictureCache(blobs, 10**6)
    names = [cache.write(np.full((2, 2, 1), n, np.uint8)) for n in range(256)]
    assert blobs.stored == 256
    assert cache.write(np.zeros((2, 2, 1), np.uint8)) == names[0]
    assert blobs.stored == 256, "a mask that stands still is stored once"
    many = [
        cache.write(np.array([[[n // 256], [n % 256]]], np.uint8)) for n in range(pictures_cache.KEPT_PICTURES + 10)
    ]
    cache.read_all(many)
    blobs.got = 0
    cache.read(many[-1])
    assert blobs.got == 0
    cache.read(many[0])
    assert blobs.got == 1
