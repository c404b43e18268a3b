"""What the command line says when something is wrong: one clear paragraph, and an exit code for scripts."""

from __future__ import annotations

from pydantic import ValidationError

from farm.errors import FarmError, Rejected

COMPLETED, FAILED, CANCELED, TIMED_OUT, TO_APPROVE = 0, 1, 2, 3, 4
"""Exit codes of commands that follow a job: how it ended, that it did not in time, or that it waits for a person."""
USAGE = 64
"""The command was called wrongly (sysexits.h: EX_USAGE)."""
REJECTED = 65
"""The farm refused the input (EX_DATAERR)."""
UNAVAILABLE = 69
"""A server or a machine did not answer; try again (EX_UNAVAILABLE)."""
INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT, as shells count."""

SHOWN = 8
"""Faults of a document that are told at once."""


def exit_code(error: FarmError) -> int:
    """The code for an error's family."""
    return REJECTED if isinstance(error, Rejected) else UNAVAILABLE


def bad_document(what: str, error: ValidationError) -> Rejected:
    """A paragraph that names each wrong field, what was seen there and what is needed."""
    faults = error.errors(include_url=False)
    told = []
    for fault in faults[:SHOWN]:
        where = ".".join(str(part) for part in fault["loc"]) or "document"
        seen = "" if fault["type"] in ("missing", "value_error") else f" (seen: {str(fault['input'])[:60]!r})"
        told.append(f"`{where}`: {_lowered(fault['msg'].removeprefix('Value error, ')).rstrip('.')}{seen}")
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return Rejected(f"{what} cannot be used as it is. {'; '.join(told)}{more}. Correct these and try again.")


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
