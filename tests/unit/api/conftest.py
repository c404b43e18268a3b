"""An API over memory: no server, no disk but for uploads on their way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from farm.adapters.media import admit_pictures, admit_prefix, limits_of
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.domain.model import ModelRef
from farm.ports import Offer
from farm.service.farm import Clock, Farm, Outside
from farm.settings import Settings
from tests.unit.adapters.test_media import png

HERE = "http://127.0.0.1:8750"
KEY = "a-long-key-of-user-one"


class Post:
    """A queue that keeps what it is given."""

    def __init__(self) -> None:
        self.offers: list[Offer] = []

    def send(self, offers: Sequence[Offer]) -> None:
        self.offers += offers


class World:
    """A farm in memory, and a client of its API."""

    def __init__(self, **settings: object) -> None:
        self.settings = Settings.read(**settings)
        self.blobs, self.ledger, self.queue = MemoryBlobs(), MemoryLedger(), Post()
        count = itertools.count(1)
        clock = Clock(new_id=lambda: f"job-{next(count):04}", now=lambda: f"2026-01-02T03:04:05.{next(count):06}+00:00")
        outside = Outside(lambda uri: admit_prefix(uri, self.blobs, limits_of(self.settings), self.settings))
        self.farm = Farm(self.blobs, self.ledger, self.queue, clock, engine="fake/1", outside=outside)
        self.add_model("demo")
        self.app = create_app(self.farm, self.blobs, self.settings)

    def add_model(self, name: str, has_motion: bool = True) -> None:
        """Have a model of that name."""
        data = ModelRef(name=name, hash="ab" * 32, has_motion=has_motion).model_dump_json().encode()
        self.blobs.put(f"models/names/{name}.json", data)

    def client(self, host: str = "127.0.0.1", key: str = "", base_url: str = HERE) -> TestClient:
        """A client that seems to be at `host`."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return TestClient(
            self.app, base_url=base_url, client=(host, 50_000), headers=headers, raise_server_exceptions=False
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with world.client() as found:
        yield found


@pytest.fixture
def uploaded(world: World) -> Callable[..., str]:
    """Has numbered pictures uploaded; their URI."""

    def upload(values: Sequence[int] = (9,), width: int = 8, height: int = 6) -> str:
        pictures = [(f"{number:04}.png", png(width, height, value)) for number, value in enumerate(values, 1)]
        return f"upload:{admit_pictures(pictures, 'clip', world.blobs, limits_of(world.settings)).id}"

    return upload


@pytest.fixture
def request_of(uploaded: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """A job of 40 frames with one mask for all of them."""

    def make(**changes: object) -> dict[str, Any]:
        clip, mask = uploaded(range(10, 50)), uploaded((255,))
        return {"input": {"uri": clip}, "segments": [{"name": "face", "mask": mask}], **changes}

    return make
