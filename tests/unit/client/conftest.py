"""A whole farm inside the test's process: the real API on a socket, a ledger in memory, a folder, the fake engine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from api.app import create_app
from farm.adapters.clock import system_clock
from farm.adapters.file_blobs import FileBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.model_registry import add_model
from farm.adapters.pictures import encode_png
from farm.client import Farm as Client
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.ports import Offer
from farm.service.farm import Farm
from farm.settings import Settings
from workers.context import Tools
from workers.forecast import Forecaster
from workers.gpu.fake import FakeEngine
from workers.heartbeat import Pace
from workers.runner import Runner

KEY = "tests:a-key-of-the-tests"


class NoQueue:
    """Nobody is told: the test itself lets the worker look."""

    def send(self, offers: Sequence[Offer]) -> None:
        pass


class Running:
    """The farm: its API's address, and a worker that runs when it is told to."""

    def __init__(self, folder: Path) -> None:
        settings = Settings.read(engine="fake", api_keys=KEY, data_dir=folder)
        self.blobs = FileBlobs(folder / "store")
        self.farm = Farm(self.blobs, MemoryLedger(), NoQueue(), system_clock(), engine=ENGINE_VERSIONS["fake"])
        tools = Tools(self.blobs, folder / "cache", FakeEngine, settings.max_pixels)
        self._runner = Runner("one", self.farm, tools, ("cpu", "gpu.0"), Pace(claim_slice=0.0))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        foresee = Forecaster(self.farm, self.blobs, folder / "cache", settings.max_pixels)
        config = uvicorn.Config(
            create_app(self.farm, self.blobs, settings, foresee), log_level="error", lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def client(self) -> Client:
        """A client with the right key."""
        return Client(self.url, KEY.partition(":")[2])

    def add_model(self, folder: Path) -> None:
        """Have a model called `demo`; the fake engine does not read it."""
        folder.mkdir()
        (folder / "model_index.json").write_text("{}")
        add_model("demo", folder, self.blobs)

    def work(self) -> None:
        """Run tasks until none is ready."""
        while self._runner.serve(None):
            pass

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker beside the test, which looks now and then."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.02):
                self.work()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        """End server and threads."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._runner.heartbeat.stop()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path / "farm")
    found.add_model(tmp_path / "model")
    yield found
    found.close()


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with running.client() as found:
        yield found


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five frames, numbered from 8, of 64x48 px."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in range(8, 13):
        rows, columns = np.mgrid[0:48, 0:64]
        pixels = np.stack([rows * 5, columns * 3, rows + columns + number], axis=2).astype(np.uint8)
        (folder / f"shot.{number:04}.png").write_bytes(encode_png(pixels))
    return folder


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """One mask for all frames."""
    pixels = np.zeros((48, 64), np.uint8)
    pixels[12:36, 16:48] = 255
    path = tmp_path / "face.png"
    path.write_bytes(encode_png(pixels))
    return path
