"""`farm doctor`: looks at everything that a farm stands on, and says what to do about each failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.context import settings
from farm.cli.faults import FAILED
from farm.cli.show import AsJson, notes, out, write_json
from farm.errors import FarmError
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.cli.findings import Finding

COLORS = {"ok": "green", "note": "yellow", "bad": "red"}
NAMES = ("redis", "store", "api", "model", "workers", "torch", "gpu", "video", "disk")
"""In the order in which one thing stands on another."""
Only = Annotated[list[str] | None, typer.Option("--only", help=f"Only these: {', '.join(NAMES)}.")]


def doctor(only: Only = None, as_json: AsJson = False) -> None:
    """Check Redis, the store, the API, models, workers, torch, GPUs, video and the disk, and say what to do.

    The exit code is 0 if nothing is broken, 1 if something is.
    """
    unknown = [name for name in only or () if name not in NAMES]
    if unknown:
        raise typer.BadParameter(f"there is no check {unknown[0]!r}; there are: {', '.join(NAMES)}.")
    findings = [finding for name in only or NAMES for finding in examine(name, settings())]
    if as_json:
        write_json([{"check": each.check, "verdict": each.verdict, **each.words()} for each in findings])
    else:
        for each in findings:
            _show(each)
    raise typer.Exit(FAILED if any(each.verdict == "bad" for each in findings) else 0)


def examine(name: str, found: Settings) -> list[Finding]:
    """Carry out one check; whatever it finds broken becomes a finding, not an error."""
    from farm.cli.checks import CHECKS
    from farm.cli.findings import bad

    findings: list[Finding] = []
    try:
        findings.extend(CHECKS[name](found))
    except FarmError as error:
        findings.append(bad(name, str(error), ""))
    return findings


def _show(finding: Finding) -> None:
    out().print(f"{finding.verdict.value:5}", style=COLORS[finding.verdict.value], end="")
    out().print(f"{finding.check:18}{finding.found}", markup=False, soft_wrap=True)
    if finding.cure:
        notes().print(f"{'':23}{finding.cure}", markup=False, soft_wrap=True, style="dim")
