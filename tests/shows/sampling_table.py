"""`python -m tests.shows.sampling_table`: every sampler with every schedule, half and whole, with a mask and without.

Each cell is a batch of 8 crops through a small network, and one of its crops alone, twice. All values must be finite,
both runs of the one crop equal to the last bit, and the crop alone within 1e-5 of itself in the batch, relative to the
result's standard deviation. A cell shows the largest of these differences over denoise 0.5 and 1, with a soft mask and
without one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import product

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from farm.domain.sampling_names import SAMPLERS, SCHEDULERS
from tests.unit.gpu.sampling_cells import STEPS, WITHIN, Cell, Found, check

COLUMNS = (*(name for name in SCHEDULERS if not name.startswith("GITS")), "GITS[coeff=1.20]")
"""Without most of GITS, whose coefficients are rows of one published table; `--schedulers '*'` takes all."""
WIDTH = 190
"""Characters of a line, where the terminal does not say."""

Results = dict[tuple[str, str], list[tuple[Cell, Found]]]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.shows.sampling_table", description=__doc__.split("\n\n")[1])
    parser.add_argument("--samplers", default="*", help="names or patterns, separated by commas: 'euler*,uni_pc'")
    parser.add_argument("--schedulers", help="likewise; `*`: all, with every coefficient of GITS")
    parser.add_argument(
        "--network", choices=("small", "unet"), default="small", help="`unet`: diffusers', ten times slower"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run (default %(default)s)")
    return parser.parse_args(given)


def chosen(names: Sequence[str], patterns: str) -> list[str]:
    """Those of the names that one of the patterns, separated by commas, describes; brackets are plain characters."""
    plain = [pattern.strip().replace("[", "[[]") for pattern in patterns.split(",")]
    found = [name for name in names if any(fnmatch(name, pattern) for pattern in plain)]
    if not found:
        raise SystemExit(f"{patterns!r} describes none of: {', '.join(names)}")
    return found


def run(samplers: Sequence[str], schedulers: Sequence[str], asked: argparse.Namespace, console: Console) -> Results:
    """All cells, with a bar that goes along."""
    combinations = product(samplers, schedulers, (0.5, 1.0), (False, True))
    cells = [Cell(*names, steps=asked.steps, network=asked.network) for names in combinations]
    results: Results = {}
    bar = TextColumn("{task.description:31}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*bar, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(cells))
        for cell in cells:
            progress.update(task, description=cell.sampler_name)
            results.setdefault((cell.sampler_name, cell.scheduler), []).append((cell, check(cell)))
            progress.advance(task)
    return results


def table(results: Results, samplers: Sequence[str], schedulers: Sequence[str]) -> Table:
    """Samplers as rows, schedules as columns."""
    made = Table(title="largest difference between a crop alone and in a batch of 8, relative")
    made.add_column("sampler", no_wrap=True)
    for name in schedulers:
        made.add_column(name.replace("coeff=", "").replace("_", "_\u200b"), justify="right")
    for sampler in samplers:
        made.add_row(sampler, *(entry([found for _, found in results[sampler, name]]) for name in schedulers))
    return made


def entry(found: Sequence[Found]) -> str:
    """What a cell of the table says of its four runs."""
    if any(one.fault for one in found):
        return "[bold red]FAILED[/]"
    if all(one.refusal for one in found):
        return "refused"
    worst = max(one.apart for one in found if not one.refusal)
    return f"{worst:.0e}{'*' if any(one.refusal for one in found) else ''}"


def main() -> int:
    """Print the table; 0 if no run has a fault."""
    asked = arguments()
    torch.set_num_threads(1)
    samplers = chosen(SAMPLERS, asked.samplers)
    schedulers = list(COLUMNS) if asked.schedulers is None else chosen(SCHEDULERS, asked.schedulers)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    started = time.monotonic()
    results = run(samplers, schedulers, asked, console)
    console.print(table(results, samplers, schedulers))
    everything = [pair for pairs in results.values() for pair in pairs]
    for text in sorted({found.refusal for _, found in everything if found.refusal}):
        count = sum(found.refusal == text for _, found in everything)
        console.print(f"refused {count} times: {text}", markup=False)
    faults = [(cell, found.fault) for cell, found in everything if found.fault]
    for cell, fault in faults:
        where = f"{cell.sampler_name}, {cell.scheduler}, denoise {cell.denoise:g}, mask {cell.masked}"
        console.print(f"FAILED {where}: {fault}", markup=False)
    worst = max((found.apart for _, found in everything), default=0.0)
    console.print(
        f"{len(everything)} runs in {time.monotonic() - started:.0f} s, {len(faults)} failed; all others finite, the "
        f"same twice over, alone and in a batch within {worst:.1e} (allowed {WITHIN:g})",
        markup=False,
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
