"""What the command line writes: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]

STATE_COLORS = {
    "completed": "green",
    "active": "cyan",
    "queued": "blue",
    "failed": "red",
    "soft-failed": "yellow",
    "canceled": "yellow",
    "cancel-requested": "yellow",
    "paused": "yellow",
    "awaiting-approval": "yellow",
    "eaten": "yellow",
    "draining": "yellow",
    "at work": "cyan",
}


def out() -> Console:
    """Where answers go."""
    return Console(highlight=False, soft_wrap=True)


def notes() -> Console:
    """Where progress and hints go, so that the answer can be piped."""
    return Console(stderr=True, highlight=False)


def write_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A table, or `empty` if there are no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        notes().print(empty)
        return
    drawn = Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for row in cells:
        drawn.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(drawn)


def facts(pairs: Mapping[str, object]) -> None:
    """One thing, a line per fact; facts without a value are left out."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        if value not in (None, "", [], {}, ()):
            out().print(Text(name.ljust(width), "bold"), _cell(value), sep="  ")


def state(name: str) -> Text:
    """A state's name in its color."""
    return Text(name, STATE_COLORS.get(name, ""))


def span(seconds: float | None) -> str:
    """A time for people: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def _cell(value: object) -> str | Text:
    if isinstance(value, Text):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (tuple, list)):
        return escape(", ".join(map(str, value)))
    return "" if value is None else escape(str(value))


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
