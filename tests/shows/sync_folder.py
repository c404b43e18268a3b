"""`farm job download --sync` at 200 and at 20,000 frames: what a poll costs, what is fetched twice, what a stop costs.

The API and the client are real, the frames are small and appear chunk by chunk as a worker would leave them. Prints a
table; exits with 1 where a claim does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import uvicorn

from api.app import create_app
from farm.adapters.clock import system_clock
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.adapters.model_registry import add_model
from farm.adapters.pictures import encode_png
from farm.client import Farm as Client
from farm.client import Way
from farm.domain import keys
from farm.domain.engine_names import ENGINE_VERSIONS
from farm.domain.job import InputRequest, JobRequest, SegmentRequest
from farm.domain.state import JobState
from farm.ports import JobStatus, Offer
from farm.service.farm import Farm
from farm.settings import Settings

CHUNK = 16
AT_ONCE = 25
"""Chunks that become final between two breaths."""
GROWTH = 1.5
"""How many times as much a chunk may cost in the long job."""


class Counted(MemoryBlobs):
    """A store that counts what is listed and read of chunks' documents."""

    listed = read = 0

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        for name in super().list(prefix, after):
            self.listed += "/chunks/" in name
            yield name

    def get(self, name: str) -> bytes:
        self.read += "/chunks/" in name
        return super().get(name)


class Staged(MemoryLedger):
    """A ledger in which chunks end when the show says so."""

    done, total = 0, 1

    def status(self, job: str) -> JobStatus:
        """Counts, as far as the show is."""
        found = super().status(job)
        state = JobState.COMPLETED if self.done >= self.total else JobState.ACTIVE
        frames = self.done * CHUNK
        return replace(
            found, frames_done=frames, chunks_done=self.done, revision=found.revision + self.done, state=state
        )


class NoQueue:
    """Nobody works."""

    def send(self, offers: Sequence[Offer]) -> None:
        pass


@dataclass(frozen=True)
class Row:
    """What one folder cost."""

    frames: int
    fetched: int
    twice: int
    read: int
    listed: int
    again: int
    remade: int
    seconds: float


class Place:
    """A farm of one API whose frames are made by the show."""

    def __init__(self, folder: Path) -> None:
        settings = Settings.read(engine="fake", data_dir=folder)
        self.blobs, self.ledger = Counted(), Staged()
        farm = Farm(self.blobs, self.ledger, NoQueue(), system_clock(), engine=ENGINE_VERSIONS["fake"])
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model_index.json").write_text("{}")
        add_model("demo", folder / "model", self.blobs)
        self._socket = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(create_app(farm, self.blobs, settings), log_level="error", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.client = Client(url)

    def submit(self, folder: Path, frames: int) -> str:
        """A job of so many frames, all of the same picture."""
        picture = folder / "one.png"
        picture.write_bytes(encode_png(np.zeros((16, 16, 3), np.uint8)))
        self.client.upload(picture)
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()
        items = [{"name": f"{number:06}.png", "sha256": digest} for number in range(1, frames + 1)]
        clip = self.client.http.post("/uploads/collections", {"name": "clip", "items": items})
        mask = folder / "mask.png"
        mask.write_bytes(encode_png(np.full((16, 16), 255, np.uint8)))
        segment = SegmentRequest(name="all", mask=self.client.upload(mask).uri)
        request = JobRequest(input=InputRequest(uri=clip["uri"]), segments=(segment,), model="demo", chunk=CHUNK)
        self.ledger.total = frames // CHUNK
        return self.client.submit(request).id

    def finish(self, job: str, chunk: int, text: str = "first") -> None:
        """Leave what a paste leaves of a chunk."""
        frames = []
        for position in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            name, data = f"{position + 1:06}.png", f"{text} {position}".encode() * 10
            final = keys.final(job, 0, name)
            self.blobs.put(final, data)
            about = {"number": position + 1, "position": position, "name": name, "variation": 0, "object": final}
            frames.append({**about, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)})
        self.blobs.put(keys.chunk(job, chunk), json.dumps({"frames": frames}).encode())

    def close(self) -> None:
        """End the server."""
        self.client.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def measured(frames: int) -> Row:
    """Follow a job of so many frames: stopped once in the middle, a chunk made again after its half."""
    with tempfile.TemporaryDirectory(prefix="farm-show-") as folder:
        place = Place(Path(folder) / "farm")
        try:
            return _followed(place, place.submit(Path(folder), frames), Path(folder) / "out", frames)
        finally:
            place.close()


def _followed(place: Place, job: str, out: Path, frames: int) -> Row:
    total, begun, stop = frames // CHUNK, time.monotonic(), threading.Event()

    def render(first: int, last: int) -> None:
        for chunk in range(first, last):
            place.finish(job, chunk)
            place.ledger.done = chunk + 1
            if chunk % AT_ONCE == 0:
                time.sleep(0.05)

    def halt() -> None:
        render(0, total // 2)
        time.sleep(1.5)
        stop.set()

    worker = threading.Thread(target=halt)
    worker.start()
    first = place.client.download(job, out, only=["frames"], sync=True, way=Way(stop=stop))
    worker.join()
    place.finish(job, 1, "made again")
    place.blobs.put(keys.decision(job, "2026-01-02T030405.000006+0000", "retry"), b'{"reopened": [1]}')
    rest = threading.Thread(target=render, args=(total // 2, total))
    rest.start()
    second = place.client.download(job, out, only=["frames"], sync=True)
    rest.join()
    read, listed = place.blobs.read, place.blobs.listed
    again = place.client.download(job, out, only=["frames"], sync=True)
    whole = {path.name: path.read_bytes() for path in (out / "frames").iterdir()}
    wrong = [name for name, data in whole.items() if place.blobs.get(keys.final(job, 0, name)) != data]
    if wrong or len(whole) != frames:
        raise SystemExit(f"{len(whole)} of {frames} frames are there, {len(wrong)} differ")
    fetched = first.fetched + second.fetched
    seconds = time.monotonic() - begun
    return Row(frames, fetched, fetched - frames - CHUNK, read, listed, again.fetched, CHUNK, seconds)


def main() -> int:
    """Print the table; 1 where a claim does not hold."""
    rows = [measured(frames) for frames in (208, 20_000)]
    write = sys.stdout.write
    write("frames  fetched  made again  twice  chunk documents read, listed (per chunk)  second run  seconds\n")
    costs = []
    for row in rows:
        chunks = row.frames / CHUNK
        costs.append((row.read / chunks, row.listed / chunks))
        write(
            f"{row.frames:6}  {row.fetched:7}  {row.remade:10}  {row.twice:5}  "
            f"{row.read:8} ({costs[-1][0]:.2f}), {row.listed:8} ({costs[-1][1]:.2f})          "
            f"{row.again:10}  {row.seconds:7.1f}\n"
        )
    short, long = costs
    holds = all(row.twice == 0 and row.again == 0 for row in rows)
    holds &= long[0] <= GROWTH * short[0] and long[1] <= GROWTH * short[1]
    write(
        "nothing is fetched twice, and a chunk costs no more in the long job\n" if holds else "a claim does not hold\n"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(main())
