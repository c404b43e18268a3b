"""Wires: small proxies between a host and its servers, on loopback or a host's own network, that can be cut."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any

PIECE = 1 << 16
"""Bytes that are read and passed on at once."""
_REQUEST = re.compile(rb"(GET|PUT|POST|HEAD|DELETE) /")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nContent-Length: 57\r\n"
    b"Connection: close\r\n\r\n<Error><Code>SlowDown</Code><Message>x</Message></Error>\n"
)


@dataclass(frozen=True)
class Weather:
    """How a wire behaves from now on."""

    delay_s: float = 0.0
    """Seconds that each piece is held back."""
    errors: float = 0.0
    """Share of HTTP requests that are answered with 503, 0 to 1."""
    cuts: float = 0.0
    """Share of pieces at which the connection is reset, 0 to 1: mid-header, mid-body, anywhere."""


FAIR = Weather()


class Wire:
    """One listening address; what comes in goes to a port on loopback, and back."""

    def __init__(self, upstream: int, seed: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._open = asyncio.Event()
        self._open.set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Future[None]] = set()
        self.weather = FAIR
        """May be changed at any time, from any thread."""
        self._server: asyncio.Server | None = None
        self.port = 0
        """Where it listens."""

    async def listen(self, address: str) -> None:
        """Begin, on a free port of this address of this machine."""
        self._server = await asyncio.start_server(self._accept, address, 0, limit=PIECE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        """Listen no more, and let go of everybody."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.cut()

    async def hold(self, held: bool) -> None:
        """Pass nothing on, either way, and lose nothing: what a cable that was pulled looks like to both ends."""
        if held:
            self._open.clear()
        else:
            self._open.set()

    async def cut(self) -> None:
        """Reset every connection that stands."""
        for writer in list(self._clients):
            _reset(writer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream, limit=PIECE)
        except OSError:
            self._drop(writer)
            return
        ways = [
            asyncio.ensure_future(self._carry(reader, far_writer, answer_on=writer)),
            asyncio.ensure_future(self._carry(far_reader, writer, answer_on=None)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.close()
            self._drop(writer)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._clients.discard(writer)
        writer.close()

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answer_on: asyncio.StreamWriter | None
    ) -> None:
        """Until one end has closed. `answer_on`: where requests are refused; None for the way back."""
        try:
            while piece := await source.read(PIECE):
                await self._open.wait()
                weather = self.weather
                if weather.delay_s:
                    await asyncio.sleep(weather.delay_s)
                if self._random.random() < weather.cuts:
                    sink.write(piece[: len(piece) // 2])
                    _reset(answer_on or sink)
                    return
                if answer_on and _REQUEST.match(piece) and self._random.random() < weather.errors:
                    answer_on.write(_BUSY)
                    await answer_on.drain()
                    return
                sink.write(piece)
                await sink.drain()
        except OSError:
            return


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        # Closed without a farewell: the other end sees a reset, as if the machine had rebooted.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Wires:
    """All wires of a run, served by one thread."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._loop = asyncio.new_event_loop()
        self._wires: list[Wire] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)

    def __enter__(self) -> Wires:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for wire in self._wires:
            self.do(wire.end())
        self.do(asyncio.sleep(0.05))  # for transports that are being closed
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def lay(self, address: str, upstream: int) -> Wire:
        """A wire that listens on `address` and leads to a port on loopback."""
        self._seed += 1
        wire = Wire(upstream, self._seed)
        self._wires.append(wire)
        self.do(wire.listen(address))
        return wire

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        """Have the thread do something, and wait until it is done."""
        done: Future[None] = asyncio.run_coroutine_threadsafe(what, self._loop)
        done.result(timeout=30)
