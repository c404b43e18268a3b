"""What is wrong with a request's fields, in words: the validator's findings, told as seen, needed, change."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from api.shapes import Answer
from farm.domain.job import InputRequest, JobRequest
from farm.domain.like import LikeRequest
from farm.domain.segment_request import SegmentRequest

SHOWN = 60
"""Characters of a wrong value that are told back."""

_FORMS = (("body", "job"), ("body", "like"))
_KNOWN = sorted(
    {*JobRequest.model_fields, *LikeRequest.model_fields, *InputRequest.model_fields, *SegmentRequest.model_fields}
)


class Fault(Answer):
    """One field of a request that cannot be used."""

    field: str
    """Its path, `segments.0.steps`; empty for the body as a whole."""
    message: str
    """What was seen, what is needed, what to change."""


def explain(error: RequestValidationError) -> tuple[Fault, ...]:
    """A fault for each thing that the validator found."""
    return tuple(_fault(finding) for finding in error.errors() if not _follows(finding))


def _fault(finding: Mapping[str, Any]) -> Fault:
    place: Sequence[str | int] = finding["loc"]
    # The form of a request is no part of the path that its user wrote.
    field = ".".join(str(part) for part in place[2 if tuple(place[:2]) in _FORMS else 1 :])
    tell = _TELLERS.get(finding["type"], _other)
    return Fault(field=_whole(field), message=_whole(tell(field or f"the {place[0]}", finding)))


def _whole(text: str) -> str:
    """Without halves of characters, which JSON can hold and no answer can."""
    return text.encode(errors="replace").decode()


def _follows(finding: Mapping[str, Any]) -> bool:
    """Whether a list is only too short because some of its entries are faulty, which is told of them."""
    value, least = finding.get("input"), finding.get("ctx", {}).get("min_length")
    return finding["type"] == "too_short" and isinstance(value, Sequence) and least is not None and len(value) >= least


def _seen(finding: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(finding.get("input"), ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(finding.get("input"))
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _missing(field: str, finding: Mapping[str, Any]) -> str:  # noqa: ARG001 - all tellers have one signature
    return f"`{field}` is missing. Add it."


def _unknown(field: str, finding: Mapping[str, Any]) -> str:  # noqa: ARG001 - all tellers have one signature
    name = field.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(name, _KNOWN, n=1)
    change = f"Did you mean `{near[0]}`?" if near else "Take it out; /openapi.json lists the fields there are."
    return f"There is no field `{field}`. {change}"


def _bound(words: str, name: str) -> Callable[[str, Mapping[str, Any]], str]:
    def tell(field: str, finding: Mapping[str, Any]) -> str:
        return f"`{field}` is {_seen(finding)}; it must be {words} {finding['ctx'][name]:,g}."

    return tell


def _length(words: str, name: str) -> Callable[[str, Mapping[str, Any]], str]:
    def tell(field: str, finding: Mapping[str, Any]) -> str:
        what = "characters" if finding["type"].startswith("string") else "entries"
        value = finding.get("input")
        size = len(value) if isinstance(value, (str, Sequence)) else _seen(finding)
        return f"`{field}` has {size} {what}; it must have {words} {finding['ctx'][name]}."

    return tell


def _choice(field: str, finding: Mapping[str, Any]) -> str:
    return f"`{field}` is {_seen(finding)}; it must be one of {finding['ctx']['expected']}."


def _kind(words: str) -> Callable[[str, Mapping[str, Any]], str]:
    def tell(field: str, finding: Mapping[str, Any]) -> str:
        if isinstance(finding.get("input"), bytes):
            return "The body was not read as JSON. Send JSON with `Content-Type: application/json`."
        return f"`{field}` is {_seen(finding)}; it must be {words}."

    return tell


def _own(field: str, finding: Mapping[str, Any]) -> str:
    """A rule of our own models, which already tells what to change."""
    return f"`{field}`: {finding['ctx']['error']}"


def _pattern(field: str, finding: Mapping[str, Any]) -> str:
    return (
        f"`{field}` is {_seen(finding)}; it must match {finding['ctx']['pattern']} "
        f"(letters, digits, '-' and '_', beginning with a letter or digit, for names)."
    )


def _no_json(field: str, finding: Mapping[str, Any]) -> str:  # noqa: ARG001 - all tellers have one signature
    reason = finding.get("ctx", {}).get("error", "")
    return f"The body is no JSON ({reason}). Send JSON with `Content-Type: application/json`."


def _other(field: str, finding: Mapping[str, Any]) -> str:
    return f"`{field}` is {_seen(finding)}: {finding['msg']}."


def _all(names: Iterable[str], tell: Callable[[str, Mapping[str, Any]], str]) -> dict[str, Any]:
    return dict.fromkeys(names, tell)


_TELLERS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "greater_than_equal": _bound("at least", "ge"),
    "greater_than": _bound("more than", "gt"),
    "less_than_equal": _bound("at most", "le"),
    "less_than": _bound("less than", "lt"),
    "value_error": _own,
    "string_pattern_mismatch": _pattern,
    "json_invalid": _no_json,
    **_all(("literal_error", "enum"), _choice),
    **_all(("string_too_short", "too_short"), _length("at least", "min_length")),
    **_all(("string_too_long", "too_long"), _length("at most", "max_length")),
    **_all(("int_type", "int_parsing", "int_from_float"), _kind("a whole number")),
    **_all(("float_type", "float_parsing", "finite_number"), _kind("a number")),
    **_all(("bool_type", "bool_parsing"), _kind("true or false")),
    **_all(("string_type",), _kind("text")),
    **_all(("tuple_type", "list_type"), _kind("a list")),
    **_all(("model_type", "model_attributes_type", "dict_type"), _kind("a JSON object")),
}
