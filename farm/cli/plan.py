"""`farm job plan`: what a job would do, told before it is submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from farm.cli.context import LONG_PATIENCE_S, client
from farm.cli.options import Given, generated
from farm.cli.show import AsJson, notes, out, span, table, write_json
from farm.cli.submit import wanted
from farm.cli.typed import CLIP, DETAILER, DETECT, JOB, WHAT, Source
from farm.domain.forecast import Forecast

EPILOG = (
    "Examples: [cyan]farm job plan clip.mp4 --mask face.png --prompt 'a face'[/cyan] · "
    "[cyan]farm job plan --like last --set segments.face.prompt='a smile' --frames 5000-5099[/cyan]"
)


@generated(what=WHAT, clip=CLIP, detect=DETECT, job=JOB, detailer=DETAILER)
def plan(
    source: Source = None,
    *,
    what: Given,
    clip: Given,
    detect: Given,
    job: Given,
    detailer: Given,
    as_json: AsJson = False,
) -> None:
    """Tell what a job would do: what would run, what is done already, and for how long GPUs would be busy.

    Takes the options of `submit` and makes no job. Files are handed in, but what was never part of a job is not looked
    at by workers yet: of such frames it says that they are unknown.
    """
    with client(LONG_PATIENCE_S) as farm:
        request = wanted(farm, source, what, clip, job, detailer, detect)
        total = farm.validate(request).chunks
        with _bar(total) as on_chunk:
            found = farm.plan(request, on_chunk)
    if as_json:
        write_json(found)
    else:
        show(found)


def show(found: Forecast) -> None:
    """The forecast as a table, and in words what it cannot tell."""
    rows = [(layer, count.run, count.cached, *_crops(found, layer)) for layer, count in found.tasks.items()]
    table(("layer", "would run", "done already", "crops to run", "crops done"), rows, "Nothing.")
    out().print(f"{found.frames} frames in {found.chunks} chunks.")
    if found.unknown_frames:
        out().print(f"Unknown: the detail tasks of {found.unknown_frames} frames.", *found.unknown, markup=False)
    out().print(f"GPU time: {_gpu(found)}", markup=False)


def _crops(found: Forecast, layer: str) -> tuple[object, object]:
    count = found.crops.get(layer.removeprefix("detail:")) if layer.startswith("detail:") else None
    return (count.run, count.cached) if count else ("", "")


def _gpu(found: Forecast) -> str:
    gpu = found.gpu
    if gpu.seconds is not None:
        return f"{_seconds(gpu.seconds)} ({gpu.basis})."
    if gpu.known_seconds is not None:
        return f"unknown; {_seconds(gpu.known_seconds)} for what is known ({gpu.basis})."
    return f"unknown: {gpu.basis}."


def _seconds(seconds: float) -> str:
    return span(seconds) if seconds >= 10 else f"{seconds:.2g} s"


@contextmanager
def _bar(chunks: int) -> Iterator[Callable[[int], None]]:
    console = notes()
    columns = (TextColumn("planning"), BarColumn(32), TextColumn("{task.completed}/{task.total} chunks"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("planning", total=chunks)
        yield lambda done: bars.update(bar, completed=done)
