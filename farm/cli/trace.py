"""`farm job trace`: what happened to a job, told to people, or as a timeline for Perfetto."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from farm.cli.context import LONG_PATIENCE_S, client, resolved
from farm.cli.show import AsJson, out, span, table, write_json
from farm.domain.trace import Attempt, busy, chrome, gpu_share


class Form(StrEnum):
    """What a trace is written as."""

    TEXT = "text"
    CHROME = "chrome"


def trace(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or `last` for the newest job.")],
    form: Annotated[
        Form, typer.Option("--format", help="`chrome`: a timeline; open it at ui.perfetto.dev or chrome://tracing.")
    ] = Form.TEXT,
    chunk: Annotated[int | None, typer.Option(min=0, help="Tell every attempt at this chunk's tasks.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Attempts that are told of, at the most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to a job: who tried what, when, how long it took, and why it ended.

    Example: farm job trace last --format chrome > trace.json
    """
    with client(LONG_PATIENCE_S) as farm:
        job_id = resolved(job_id)
        found = sorted(farm.attempts(job_id), key=lambda attempt: (attempt.started, attempt.task))
    if chunk is not None:
        found = [attempt for attempt in found if attempt.chunk == chunk]
    if form is Form.CHROME:
        write_json(chrome(job_id, found))
        _share(found, to_errors=True)
    elif as_json:
        write_json(found)
    else:
        _story(found, limit, every=chunk is not None)


def _story(found: Sequence[Attempt], limit: int, *, every: bool) -> None:
    if not found:
        out().print("No attempt has ended yet.")
        return
    zero = found[0].started
    out().print(f"{len(found)} attempts in {span(max(one.ended for one in found) - zero)}.")
    _by_layer(found)
    workers = busy(found)
    rows = [(w.worker, w.device, w.attempts, span(w.span_s), span(w.gpu_s), f"{w.share:.0%}") for w in workers]
    if rows:
        out().print()
        table(("worker", "device", "attempts", "at work for", "sampled for", "GPU busy"), rows, "")
        _share(found)
    told = list(found) if every else [one for one in found if not one.ok]
    out().print()
    rows_of = [
        (f"+{a.started - zero:.1f} s", a.task, a.worker, f"{a.ended - a.started:.2f} s", a.outcome, a.error)
        for a in told[:limit]
    ]
    table(("when", "task", "worker", "took", "ended", "why"), rows_of, "Every attempt ended well.")
    if len(told) > limit:
        out().print(f"And {len(told) - limit} more; see them with --limit {len(told)}.")


def _by_layer(found: Sequence[Attempt]) -> None:
    seconds: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for one in found:
        layer = one.layer or one.kind
        counts[layer] += 1
        bad[layer] += not one.ok
        seconds[layer] += one.ended - one.started
    rows = [
        (layer, count, bad[layer] or "", span(seconds[layer]), f"{seconds[layer] / count:.2f} s")
        for layer, count in counts.items()
    ]
    table(("layer", "attempts", "ended badly", "in all", "each"), rows, "")


def _share(found: Sequence[Attempt], *, to_errors: bool = False) -> None:
    workers = busy(found)
    text = f"GPU busy: {gpu_share(workers):.1%} of the time of {len(workers)} workers."
    if to_errors:
        sys.stderr.write(f"{text}\n")
    else:
        out().print(text)
