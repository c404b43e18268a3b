"""The tools of the chaos suite do what they say: wires, clocks, figures."""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.blows import BLOWS
from tests.chaos.hosts import Clock, clock_shim, networks
from tests.chaos.verdict import Commits, Frames, Verdict, commits, percentile
from tests.chaos.watch import Loss
from tests.chaos.wire import FAIR, Weather, Wire, Wires

LOSS = Loss("job", "detail.0.0", "w1", "killed", at=0.0, attempts=0, fence="a-1")


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            while piece := self.request.recv(4096):
                self.request.sendall(piece)


@pytest.fixture
def echo() -> Iterator[int]:
    """Port of a server that says what it hears."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def wires() -> Iterator[Wires]:
    with Wires(seed=1) as made:
        yield made


def connect(wire: Wire) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=60)


def said(to: socket.socket, words: bytes) -> bytes:
    """What comes back; empty if the other end is gone."""
    try:
        to.sendall(words)
        return to.recv(4096)
    except ConnectionError:
        return b""


def test_a_wire_carries_both_ways(wires: Wires, echo: int) -> None:
    with connect(wires.lay("127.0.0.1", echo)) as end:
        assert said(end, b"hello") == b"hello"


def test_a_wire_that_is_cut_is_cut_for_those_who_are_on_it(wires: Wires, echo: int) -> None:
    wire = wires.lay("127.0.0.1", echo)
    with connect(wire) as end:
        assert said(end, b"hello") == b"hello"
        wires.do(wire.cut())
        assert said(end, b"again") == b""
    with connect(wire) as end:
        assert said(end, b"hello") == b"hello"


def test_what_a_wire_holds_back_comes_later(wires: Wires, echo: int) -> None:
    wire = wires.lay("127.0.0.1", echo)
    with connect(wire) as end:
        assert said(end, b"hello") == b"hello"
        wires.do(wire.hold(True))
        end.sendall(b"later")
        end.settimeout(0.1)
        with pytest.raises(TimeoutError):
            end.recv(4096)
        end.settimeout(60)
        wires.do(wire.hold(False))
        assert end.recv(4096) == b"later"


def test_in_bad_weather_requests_are_refused_and_connections_break_off(wires: Wires, echo: int) -> None:
    wire = wires.lay("127.0.0.1", echo)
    wire.weather = Weather(errors=1.0)
    with connect(wire) as end:
        assert said(end, b"GET /bucket/key HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    wire.weather = Weather(cuts=1.0)
    with connect(wire) as end:
        assert said(end, b"hello") == b""
    wire.weather = FAIR
    with connect(wire) as end:
        assert said(end, b"hello") == b"hello"


def test_a_wire_to_nobody_closes(wires: Wires) -> None:
    with connect(wires.lay("127.0.0.1", 1)) as end:
        assert said(end, b"hello") == b""


def test_a_clock_can_be_wrong_and_goes_on_at_the_same_pace(tmp_path: Path) -> None:
    shim = clock_shim(tmp_path)
    if shim is None:
        pytest.skip("there is no C compiler")
    clock = Clock(tmp_path / "clock", shim)
    clock.turn(3600.0)
    code = "import time, datetime as d; print(time.time(), d.datetime.now().timestamp(), time.monotonic())"
    told = subprocess.run(
        [sys.executable, "-c", f"import time; begin = time.monotonic(); {code}; print(begin)"],
        env={**os.environ, **clock.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    right = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wrong, wrong_too, monotonic, _ = map(float, told.stdout.split())
    now, _, monotonic_now = map(float, right.stdout.split())
    assert 3000 < wrong - now < 4200
    assert 3000 < wrong_too - now < 4200
    assert monotonic <= monotonic_now


def test_hosts_have_networks_of_their_own_where_that_is_permitted() -> None:
    made = networks(2)
    try:
        if not made:
            pytest.skip("network namespaces are not permitted here")
        assert len({net.address for net in made}) == 2
        made[0].plug(False)
        made[0].plug(True)
    finally:
        for net in made:
            net.remove()
    assert not [net for net in made if Path("/run/netns", net.name).exists()]


def test_frames_are_compared_name_by_name() -> None:
    frames = Frames()
    frames.compare("job", {"1": "a", "2": "b", "3": "c"}, {"1": "a", "2": "x", "4": "d"})
    assert (frames.expected, frames.equal) == (3, 1)
    assert (frames.other, frames.missing, frames.stray) == (["job/2"], ["job/3"], ["job/4"])


def test_a_verdict_names_every_promise_that_was_broken() -> None:
    good = Verdict(Frames(), [], [], (104, 100), 0, [], Commits(2, 2, (), 1))
    assert good.faults(15) == []
    frames = Frames(expected=1, missing=["job/1"])
    slow = [replace(LOSS, lost=True, recovered_s=21.0)]
    wrong = Commits(1, 0, ("w1 detail.0.0",), 0)
    for bad in (
        replace(good, frames=frames),
        replace(good, left_over=["leases: job/task"]),
        replace(good, wrong=["w1 ended with code 1"]),
        replace(good, steps=(106, 100)),
        replace(good, losses=slow),
        replace(good, commits=wrong),
    ):
        assert len(bad.faults(15)) == 1


def test_a_late_commit_is_wrong_only_where_the_task_was_given_to_another() -> None:
    late = {"event": "late_commit", "log": "w1", "job": "job", "task": "detail.0.0", "fence": "a-1"}
    lost = [replace(LOSS, lost=True)]
    assert commits([{**late, "accepted": False}], lost).wrong == ()
    assert commits([{**late, "accepted": True}], []).wrong == ()
    assert commits([{**late, "fence": "a-2", "accepted": True}], lost).wrong == ()
    assert commits([{**late, "accepted": True}], lost).wrong == ("w1 detail.0.0",)


def test_percentiles_of_few_values() -> None:
    assert percentile([], 95) == 0
    assert percentile([3.0], 95) == 3
    assert percentile([1.0, 2.0, 3.0], 50) == 2


def test_most_blows_are_kills_and_cuts() -> None:
    assert len({blow.name for blow in BLOWS}) == len(BLOWS)
    assert sum(blow.weight for blow in BLOWS if blow.cut) > 2 * sum(blow.weight for blow in BLOWS if not blow.cut)
