"""`python -m demo`: brings a farm up, runs both jobs on it, leaves the results in a folder, stops everything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from demo.figures import Figures, Tally, segment_boxes
from demo.pictures import Sheet, clip_frames
from demo.scene import FRAMES, SHARP, SOFT, Range, chosen, requests
from farm.adapters.pictures import U8
from farm.adapters.video import encode_group, probe
from farm.cli import logs
from farm.cli.faults import FAILED, exit_code
from farm.cli.show import notes, out
from farm.cli.watch import Progressing
from farm.client import Farm
from farm.client.answers import JobAnswer
from farm.domain.detailer import JobType
from farm.domain.state import JobState
from farm.errors import FarmError, Unavailable
from farm.local.place import Place, is_up, read_place
from farm.local.supervisor import Spec, Supervisor

WORKERS = 2
UP_S = 180.0
"""Seconds that the farm may take to come up."""
FEW = 40
"""Frames in which the head hardly moves."""
POLL_S = 0.25
LINE_EVERY_S = 15.0
"""Seconds between two reports where there is no terminal."""
STOP_S = 90.0
"""Seconds that the farm may take to end by itself."""
KEPT = ("FARM_DEVICE", "FARM_DTYPE", "FARM_ENGINE", "FARM_FAKE_SECONDS", "FARM_TORCH_THREADS")
"""Settings that the demo's farm takes from outside: what it computes on. Where its data lie is its own affair."""
FOLDERS = {JobType.ANIMATEDIFF: "frames", JobType.MASK: "frames_mask"}


@dataclass
class Times:
    """How long each part took, in seconds, in order."""

    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Take the time of a part."""
        begun = time.monotonic()
        yield
        self.parts[name] = time.monotonic() - begun

    def told(self) -> str:
        """All of them, and their sum."""
        each = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.parts.items())
        return f"{each}; {sum(self.parts.values()):.1f} s in all"


def demo(
    frames: Annotated[int, typer.Option(min=1, max=FRAMES, help="How many; 132 are all of the clip.")] = 32,
    folder: Annotated[Path, typer.Option("--out", help="Where the results go; made anew.")] = Path("out/demo"),
) -> None:
    """Detail a soft clip on a farm of this machine's own: an `animatediff` job (head) and a `mask` job (head, paw)."""
    logs.configure()
    # An earlier demo's results must not be taken for this one's.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted, times = chosen(frames), Times()
    if wanted.count > FEW:
        notes().print(
            "The head goes a long way in these frames, so its crops are large: this takes many minutes on a CPU."
        )
    data = (folder / "farm").absolute()
    with farm_up(data, times) as place, Farm(place.url) as farm:
        with times.of("upload and submit"):
            jobs = {kind: farm.submit(request) for kind, request in requests(farm, wanted).items()}
        with times.of("both jobs"):
            ended = to_the_end(farm, jobs)
        with times.of("download"):
            fetch(farm, ended, folder)
        bad = [job for job in ended.values() if job.status is not JobState.COMPLETED]
        for job in bad:
            tell_failure(farm, job)
    if bad:
        notes().print(f"The farm's data and logs are in {data}.")
        raise typer.Exit(FAILED)
    with times.of("pictures and figures"):
        figures = look(wanted, folder)
    shutil.rmtree(data, ignore_errors=True)
    tell(folder, times, figures)


@contextmanager
def farm_up(data: Path, times: Times) -> Iterator[Place]:
    """A farm with two workers, the same as `farm up` starts; gone when the block is left."""
    notes().print(f"Bringing up a farm with {WORKERS} workers: Redis, S3, API …")
    environment = {name: value for name, value in os.environ.items() if _is_ours(name)}
    command = [sys.executable, "-m", "farm.cli", "up", "--data", str(data), "--port", "0", "--workers", str(WORKERS)]
    supervisor = Supervisor()
    log = data / "logs" / "up.log"
    with times.of("farm up"):
        pid = supervisor.start(Spec("farm up", command, environment, log, grace_s=STOP_S))
        try:
            place = _awaited(data, pid, supervisor, log)
        except BaseException:
            supervisor.stop()
            raise
    notes().print(f"It is up: {place.url}")
    try:
        yield place
    finally:
        begun = time.monotonic()
        supervisor.stop()
        times.parts["farm down"] = time.monotonic() - begun


def _is_ours(name: str) -> bool:
    return name in KEPT or not name.startswith(("FARM_", "AWS_"))


def _awaited(data: Path, pid: int, supervisor: Supervisor, log: Path) -> Place:
    end = time.monotonic() + UP_S
    while time.monotonic() < end:
        place = read_place(data)
        if place is not None and place.pid == pid and is_up(data):
            return place
        if not supervisor.pids():
            break
        time.sleep(0.1)
    raise Unavailable(f"The farm did not come up. Its log:\n{log.read_text(errors='replace')}")


def to_the_end(farm: Farm, jobs: Mapping[JobType, JobAnswer]) -> dict[JobType, JobAnswer]:
    """Show both jobs until they have ended."""
    console, drawn = notes(), {kind: Progressing() for kind in jobs}
    now = dict(jobs)

    def look_again() -> bool:
        for kind, job in now.items():
            if not job.has_ended:
                now[kind] = farm.job(job.id)
            drawn[kind].update(now[kind])
        return all(job.has_ended for job in now.values())

    parts = [part for kind in jobs for part in (Text(f"{kind} job", "bold"), drawn[kind])]
    if console.is_terminal:
        with Live(Group(*parts), console=console, refresh_per_second=4):
            _until(look_again)
    else:
        _until(look_again, lambda: console.print("\n".join(each.line() for each in drawn.values()), soft_wrap=True))
    return now


def _until(done: Callable[[], bool], tell_lines: Callable[[], None] | None = None) -> None:
    last = time.monotonic()
    while not done():
        if tell_lines is not None and time.monotonic() - last > LINE_EVERY_S:
            last = time.monotonic()
            tell_lines()
        time.sleep(POLL_S)
    if tell_lines is not None:
        tell_lines()


def fetch(farm: Farm, ended: Mapping[JobType, JobAnswer], folder: Path) -> None:
    """Download both jobs' files; frames go where the demo promises them."""
    for kind, job in ended.items():
        farm.download(job.id, folder / str(kind))
        frames = folder / str(kind) / "frames"
        if frames.is_dir():
            frames.rename(folder / FOLDERS[kind])
    document = farm.job_document(ended[JobType.ANIMATEDIFF].id)
    (folder / "job.json").write_text(json.dumps(document, indent=2) + "\n")


def look(wanted: Range, folder: Path) -> dict[JobType, Figures]:
    """Make the pictures and count, in one pass over the clips; the figures of both jobs."""
    tallies = {kind: Tally(folder / name, folder / str(kind) / "segs.json") for kind, name in FOLDERS.items()}
    shown = Sheet(segment_boxes(folder / str(JobType.ANIMATEDIFF) / "segs.json"))

    def pairs() -> Iterator[U8]:
        for (number, soft), (_, sharp) in zip(clip_frames(SOFT, wanted), clip_frames(SHARP, wanted), strict=True):
            detailed = {kind: tally.add(number, soft, sharp) for kind, tally in tallies.items()}[JobType.ANIMATEDIFF]
            shown.add(number, soft, detailed, sharp)
            yield np.hstack([soft, detailed])

    encode_group(pairs(), probe(SOFT).look, folder / "before_after.mp4")
    (folder / "contact_sheet.png").write_bytes(shown.png())
    return {kind: tally.figures() for kind, tally in tallies.items()}


def tell_failure(farm: Farm, job: JobAnswer) -> None:
    """Say why a job did not complete."""
    notes().print(f"Job {job.id} ({job.name}) is {job.status}: {job.activity}", style="red", markup=False)
    for task in farm.tasks(job.id, states=["failed"], limit=3):
        notes().print(f"{task.id}: {task.error}", style="red", markup=False, soft_wrap=True)


def tell(folder: Path, times: Times, figures: Mapping[JobType, Figures]) -> None:
    """Say what was made, what it is like, and how long it took."""
    lines = []
    for kind, each in figures.items():
        lines += [
            f"{kind} job, {each.frames} frames",
            f"  where nothing is painted: {each.outside_changed:,} of {each.outside:,} pixels differ from the input",
            f"  where something is: {each.inside_changed:,} of {each.inside:,} pixels changed",
            f"  gradient energy inside the masks: {each.soft:.1f} soft, {each.detailed:.1f} detailed "
            f"({each.detailed / max(each.soft, 1e-9):.2f}x), {each.sharp:.1f} sharp",
        ]
    lines += ["", f"Time: {times.told()}", "", f"Look at {folder / 'contact_sheet.png'}"]
    for name in ("before_after.mp4", "frames", "frames_mask", "job.json"):
        lines.append(f"        {folder / name}")
    out().print("\n".join(lines), markup=False)


def main() -> None:
    """Run the demo; a failure is one paragraph."""
    # As Ctrl-C: whoever ends the demo ends its farm, in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        typer.run(demo)
    except FarmError as error:
        notes().print(f"demo: {error}", markup=False, soft_wrap=True)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
