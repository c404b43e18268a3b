"""`farm up` and `farm down`: a whole farm on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.show import AsJson, notes, write_json
from farm.errors import Unavailable
from farm.local.place import Place, is_up, read_place, stop_farm
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.local.machine import Wanted

TEND_S = 0.5
"""Seconds between two looks at servers and processes."""
DETACHED_READY_S = 240.0
"""Seconds that a farm in the background may take to answer; an S3 that was killed reads its log first."""
DOWN_S = 120.0
"""Seconds that a farm may take to end: running tasks are finished, servers write their data."""

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder for all data, logs and passwords; FARM_DATA_DIR or .farm.")
]


def up(
    workers: Annotated[
        int | None, typer.Option(min=0, max=256, help="Worker processes for the CPU; each GPU has one more.")
    ] = None,
    data: Data = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the API; 0: any free one.", show_default="8750, or free")
    ] = None,
    queues: Annotated[str, typer.Option(help="Of all workers, instead of a division by device: cpu,gpu.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is up; stop it with `farm down`.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a farm on this machine: Redis and S3 with their data in one folder, the API, and workers.

    Ctrl-C stops it; started again it goes on where it was. Servers that the environment names (FARM_REDIS_URL,
    FARM_S3_ENDPOINT or FARM_STORE) are used instead of embedded ones. Other commands of this folder find it by
    themselves.
    """
    from farm.local.machine import OneMachine, Wanted

    settings = Settings.read()
    folder = (data or settings.data_dir).absolute()
    wanted = Wanted(folder, workers, port, queues)
    if detach:
        place = _in_background(wanted)
        _tell_place(place, as_json)
        return
    stop = _stop_signals()
    machine = OneMachine(wanted, settings, lambda line: notes().print(line, markup=False, soft_wrap=True))
    place = machine.start()
    try:
        _tell_place(place, as_json)
        if not as_json:
            notes().print(f"Logs    {folder / 'logs'}\nStop it with Ctrl-C, or with `farm down`.", soft_wrap=True)
        while not stop.wait(TEND_S):
            machine.tend()
        notes().print("Stopping: running tasks are finished first.")
    finally:
        machine.stop()


def down(data: Data = None) -> None:
    """Stop the farm of this folder: running tasks are finished, all data stay."""
    folder = (data or Settings.read().data_dir).absolute()
    stop_farm(folder, DOWN_S)
    notes().print(f"The farm on {folder} has ended.", markup=False, soft_wrap=True)


def _stop_signals() -> threading.Event:
    """Set by the first SIGINT or SIGTERM; a second Ctrl-C interrupts what is going on."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def _in_background(wanted: Wanted) -> Place:
    arguments = [sys.executable, "-m", "farm.cli", "up", "--data", str(wanted.data_dir)]
    for flag, value in (("--workers", wanted.workers), ("--port", wanted.port), ("--queues", wanted.queues or None)):
        arguments += [] if value is None else [flag, str(value)]
    log = wanted.data_dir / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    end = time.monotonic() + DETACHED_READY_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Unavailable(log.read_text(errors="replace").strip().removeprefix("farm: "))
        place = read_place(wanted.data_dir)
        if place is not None and place.pid == process.pid and is_up(wanted.data_dir):
            return place
        time.sleep(0.1)
    process.terminate()
    raise Unavailable(f"The farm did not come up within {DETACHED_READY_S:g} s. Its log: {log}")


def _tell_place(place: Place, as_json: bool) -> None:
    if as_json:
        write_json({"url": place.url, "pid": place.pid, "children": place.children})
    else:
        notes().print(f"The farm is up: {place.url}", soft_wrap=True)
