"""`python -m tests.chaos.run --seed N --seconds S`: a farm of four hosts is hurt all the time, then its work is judged.

Prints what was done to it and what came of it; 1 if a promise was broken, with the seed that breaks it again.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from farm.settings import Settings
from tests.chaos.monkey import Run
from tests.chaos.verdict import Verdict, percentile
from tests.shows.stage import stage

FRAMES = 96
"""Of each job: 12 chunks of a `mask` job, 16 of an `animatediff` job."""
SHORT_LEASE_S = 3.0
OWN_LEASE_S = float(Settings.model_fields["lease_ttl_s"].default)

out = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Played:
    """A run and its figures."""

    seed: int
    lease_s: float
    run: Run
    verdict: Verdict
    jobs: int

    @property
    def faults(self) -> list[str]:
        """Promises that were broken."""
        return self.verdict.faults(self.lease_s)


def play(seed: int, seconds: float, lease_s: float, crop_s: float, logs: Path | None) -> Played:
    """One run on a farm of its own; what its processes have said is copied to `logs`."""
    pace: dict[str, object] = {"lease_ttl_s": lease_s, "heartbeat_s": lease_s / 3}
    if lease_s >= OWN_LEASE_S:
        pace |= {name: Settings.model_fields[name].default for name in ("sweep_s", "backoff_s")}
    began = time.monotonic()

    def tell(text: str) -> None:
        out.print(f"  [dim]{time.monotonic() - began:6.1f} s[/dim]  {text}", markup=True)

    with stage() as here, here.farm(**pace) as farm:
        shot = here.shot(FRAMES)
        run = Run(farm, shot, seed, tell)
        try:
            verdict = run.play(seconds, crop_s)
        finally:
            if logs:
                shutil.copytree(farm.folder / "logs", logs / str(seed), dirs_exist_ok=True)
        if logs:
            losses = [asdict(loss) for loss in verdict.losses]
            (logs / str(seed) / "losses.json").write_text(json.dumps(losses, indent=1))
        return Played(seed, lease_s, run, verdict, verdict.frames.expected // FRAMES)


def show(played: list[Played]) -> None:
    """The figures of all runs so far, side by side."""
    table = Table(title="Chaos")
    table.add_column("seed")
    for one in played:
        table.add_column(str(one.seed), justify="right")
    kinds = sorted({kind for one in played for kind in one.run.monkey.struck})
    for kind in kinds:
        table.add_row(kind, *(str(one.run.monkey.struck[kind]) for one in played))
    table.add_section()
    for title, cells in _figures(played):
        table.add_row(title, *cells)
    out.print(table)


def _figures(played: list[Played]) -> list[tuple[str, list[str]]]:
    def row(title: str, *cells: str) -> tuple[str, list[str]]:
        return title, list(cells)

    verdicts = [one.verdict for one in played]
    return [
        row("kills and cuts", *(str(one.run.monkey.cuts) for one in played)),
        row("lease, s", *(f"{one.lease_s:g}" for one in played)),
        row("jobs", *(str(one.jobs) for one in played)),
        row("final PNGs equal by SHA-256", *(f"{v.frames.equal} of {v.frames.expected}" for v in verdicts)),
        row("missing", *(str(len(v.frames.missing)) for v in verdicts)),
        row("left over", *(str(len(v.frames.stray) + len(v.left_over)) for v in verdicts)),
        row("sampler steps done / needed", *(f"{v.steps[0]} / {v.steps[1]}" for v in verdicts)),
        row("work done twice", *(f"{v.twice:.2%}" for v in verdicts)),
        row("lost tasks claimed again", *(str(len(v.recoveries)) for v in verdicts)),
        row(
            "  after, s: median, p95, most",
            *(" ".join(f"{percentile(v.recoveries, p):.1f}" for p in (50, 95, 99)) for v in verdicts),
        ),
        row(
            "  of that until the lease was found lost",
            *(" ".join(f"{percentile(_declared(v), p):.1f}" for p in (50, 95, 99)) for v in verdicts),
        ),
        row("late commits tried / refused", *(f"{v.commits.tried} / {v.commits.refused}" for v in verdicts)),
        row("  accepted after the task was given away", *(str(len(v.commits.wrong)) for v in verdicts)),
        row("attempts given up, lease lost", *(str(v.commits.noticed) for v in verdicts)),
        row("other broken promises", *(str(len(v.wrong)) for v in verdicts)),
    ]


def _declared(verdict: Verdict) -> list[float]:
    return sorted(loss.declared_s for loss in verdict.losses if loss.lost and loss.declared_s is not None)


def main(
    seed: Annotated[list[int] | None, typer.Option(help="Seeds, one run each: --seed 1 --seed 2.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds for which each farm is hurt.", min=5)] = 120,
    lease: Annotated[float, typer.Option(help="Seconds of a lease; 15 is the farm's own.", min=1)] = SHORT_LEASE_S,
    crop_seconds: Annotated[float, typer.Option(help="Seconds per crop of the fake engine.", min=0)] = 0.05,
    logs: Annotated[Path | None, typer.Option(help="Folder for what all processes have said.")] = None,
) -> None:
    """Hurt a farm of four hosts all the time and judge its work."""
    played = []
    for number in seed or [1]:
        out.print(f"seed {number}, lease {lease:g} s, {seconds:g} s of blows")
        one = play(number, seconds, lease, crop_seconds, logs)
        played.append(one)
        for fault in one.faults:
            out.print(f"seed {number}: {fault}", markup=False)
        show(played)
    sys.exit(1 if any(one.faults for one in played) else 0)


if __name__ == "__main__":
    typer.run(main)
