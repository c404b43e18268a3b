"""One value of a job, by its path: `segments.face.denoise`, `detailer.steps`, `input.frames`, `priority`. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from farm.domain.detailer import Detailer
from farm.domain.job import InputRequest, JobRequest
from farm.domain.segment_request import SegmentRequest
from farm.errors import Rejected

Draft = dict[str, Any]
"""A job's request as JSON has it; what is left out keeps its default."""
SHOWN = 8
"""Names that are told where none is near."""
FREE = ("embeddings", "parameters")
"""Objects whose names are the user's own."""


class BadPath(Rejected):
    """A path that names nothing."""

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(
            f"{path!r}: {fault}. Write parameter=value for all segments (denoise=0.4), segments.NAME.parameter=value "
            f"for one (segments.face.denoise=0.3), or a field of the job (priority=80)."
        )


def assign(draft: Draft, path: str, value: object) -> None:
    """Set the value at a path. Raises BadPath, with the names that are near."""
    holder, name, rest = place(draft, path)
    if not rest:
        holder[name] = value
        return
    at: Any = holder.get(name)
    for number, part in enumerate(rest):
        last = number == len(rest) - 1
        key = _entry(at, part, path, free=last and (name if number == 0 else rest[number - 1]) in FREE)
        if last:
            at[key] = value
        else:
            at = at[key]


def place(draft: Draft, path: str) -> tuple[Draft, str, list[str]]:
    """Where the path leads: an object of the draft, the field in it, and the rest of the path. Raises BadPath."""
    head, *rest = [part.strip() for part in path.split(".")]
    if head == "segments" and rest:
        segments = {str(entry.get("name")): entry for entry in draft.get("segments", [])}
        if rest[0] not in segments:
            told = ", ".join(segments) or "none"
            raise BadPath(path, f"there is no segment {rest[0]!r}; the job has: {told}")
        return segments[rest[0]], _field(rest[1:2], SegmentRequest.model_fields, path), rest[2:]
    if head == "detailer" and rest:
        return draft.setdefault("detailer", {}), _field(rest[:1], Detailer.model_fields, path), rest[1:]
    if head == "input" and rest:
        return draft.setdefault("input", {}), _field(rest[:1], InputRequest.model_fields, path), rest[1:]
    if head in Detailer.model_fields:
        return draft.setdefault("detailer", {}), head, rest
    return draft, _field([head], [*JobRequest.model_fields, *Detailer.model_fields], path), rest


def _field(parts: list[str], known: Iterable[str], path: str) -> str:
    if not parts or parts[0] not in known:
        raise _unknown(parts[0] if parts else "", known, path)
    return parts[0]


def _entry(at: object, part: str, path: str, *, free: bool) -> Any:  # noqa: ANN401 - an index or a name
    """The entry of a list, by number or by its name, or of an object."""
    if isinstance(at, list):
        names = [str(entry.get("name", "")) if isinstance(entry, dict) else "" for entry in at]
        if part in names:
            return names.index(part)
        if part.isdigit() and int(part) < len(at):
            return int(part)
        raise BadPath(path, f"there is no entry {part!r}: the list has {len(at)}, counted from 0")
    if isinstance(at, dict):
        if free or part in at:
            return part
        raise _unknown(part, at, path)
    raise BadPath(path, f"{part!r} is looked for in something that has no parts")


def _unknown(name: str, known: Iterable[str], path: str) -> BadPath:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3)
    told = near or [*names[:SHOWN], *(["…"] if len(names) > SHOWN else [])]
    return BadPath(path, f"there is no {name!r}; {'near it' if near else 'there'} are: {', '.join(told)}")
