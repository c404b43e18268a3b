"""A job as it is typed: options, files on this machine, and perhaps a document; pure, nothing is read or sent.

Addresses in a draft are what the user wrote: paths, `s3://…` or `upload:…`. `addressed` turns them into what the farm
can read, and the draft into a request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from farm.cli.faults import bad_document
from farm.domain.assign import Draft as Draft
from farm.domain.assign import assign as set_value
from farm.domain.detection import FACE
from farm.domain.job import JobRequest
from farm.domain.model import lora_fields
from farm.errors import Rejected

KINDS = ("mask", "segs", "detect")
"""Where a segment may come from."""
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
ATTACHED = {"controlnets": "image", "image_prompts": "image", "conditionings": "mask"}
"""Lists of a segment -> what of their entries is a file."""
FARM_ADDRESSES = ("upload:", "s3://")
"""Addresses that the farm reads itself; anything else is a path on this machine."""


class BadAssignment(Rejected):
    """A `--set` without a value."""

    def __init__(self, text: str) -> None:
        super().__init__(f"--set {text!r}: there is no `=`. Write parameter=value, such as denoise=0.4.")


def named(text: str) -> tuple[str, str]:
    """Name and address of a `[name=]address`; without a name, the file's own name without its ending."""
    name, equals, address = text.partition("=")
    if equals and _NAME.match(name):
        return name, address
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePath(text.rstrip("/")).stem).strip("_-")[:64]
    return stem or "mask", text


def add_segments(draft: Draft, kind: str, texts: Sequence[str]) -> None:
    """Add a segment for each `[name=]address`; a name that the draft has already gets the new address instead.

    Args:
        kind: `mask`, `segs` or `detect`, whose addresses are detectors.
    """
    segments: list[Draft] = draft.setdefault("segments", [])
    before = {segment.get("name"): segment for segment in segments}
    for text in texts:
        name, address = named(text)
        value = {"detector": address} if kind == "detect" else address
        if name in before:
            kept = before[name].get("detect") if kind == "detect" else None
            for other in KINDS:
                before[name].pop(other, None)
            before[name][kind] = {**kept, "detector": address} if isinstance(kept, dict) else value
            continue
        taken = {segment.get("name") for segment in segments}
        free = name if name not in taken else next(f"{name}-{n}" for n in range(2, 99) if f"{name}-{n}" not in taken)
        segments.append({"name": free, kind: value})


def assign(draft: Draft, text: str) -> None:
    """Carry out one `path=value`. Raises BadAssignment, BadPath."""
    path, value = assignment(text)
    set_value(draft, path, value)


def assignment(text: str) -> tuple[str, Any]:
    """Path and value of a `path=value`; the value is JSON if it reads as such, else text. Raises BadAssignment."""
    path, equals, raw = text.partition("=")
    if not equals:
        raise BadAssignment(text)
    try:
        return path.strip(), json.loads(raw)
    except ValueError:
        return path.strip(), raw


def rooted(draft: Draft, folder: PurePath) -> Draft:
    """A document's draft with its relative paths taken from the document's own folder."""

    def placed(entry: Draft, fields: Sequence[str]) -> Draft:
        return {
            name: str(folder / value) if name in fields and isinstance(value, str) and not _is_farms(value) else value
            for name, value in entry.items()
        }

    made = dict(draft)
    if isinstance(made.get("input"), dict):
        made["input"] = placed(made["input"], ["uri"])
    if isinstance(made.get("segments"), list):
        made["segments"] = [_segment_rooted(entry, placed) for entry in made["segments"]]
    return made


def _segment_rooted(entry: Any, placed: Callable[[Draft, Sequence[str]], Draft]) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(entry, dict):
        return entry
    made = placed(entry, ["mask", "segs"])
    for field, address in ATTACHED.items():
        if isinstance(made.get(field), list):
            made[field] = [placed(one, [address]) if isinstance(one, dict) else one for one in made[field]]
    return made


def _is_farms(address: str) -> bool:
    return address.startswith(FARM_ADDRESSES)


def _model(draft: Draft, model: Callable[[str], str]) -> Draft:
    """The model's address; left out where none was named, since the farm then uses what its own one recommends."""
    default = JobRequest.model_fields["model"].default
    address = model(draft.get("model") or default)
    return {} if not draft.get("model") and address == default else {"model": address}


def addressed(draft: Draft, media: Callable[[str, str], str], model: Callable[[str], str]) -> JobRequest:
    """The request that a draft stands for, its files handed in.

    Args:
        media: from a path and what it is for (`input`, a segment's name) to an address that the farm can read.
        model: from a name, a hash, a folder or a file to a name or hash that the farm knows.
    Raises:
        Rejected: fields that are missing, unknown or out of range, or a file that cannot be handed in.
    """
    # Before any file is sent: a typo must not cost an upload.
    _request({**draft, "input": {"uri": "", **draft.get("input", {})}})
    if not draft.get("input", {}).get("uri"):
        raise Rejected(
            "The job has no input. Give a video, a folder of numbered pictures, a zip of them, one picture, "
            "or s3://bucket/prefix/ as the first argument, or `input.uri` in the job's document."
        )

    def sent(address: str, purpose: str) -> str:
        return address if _is_farms(address) else media(address, purpose)

    uri = sent(draft["input"]["uri"], "input")

    def drawn_with(part: Draft) -> Draft:
        found = [lora if isinstance(lora, dict) else lora_fields(str(lora)) for lora in part.get("loras") or ()]
        return {**part, "loras": [{**lora, "model": model(lora["model"])} for lora in found]} if found else part

    segments = []
    for segment in draft["segments"]:
        made = drawn_with(segment)
        if segment.get("detect") is not None:
            detect = segment["detect"]
            sam = {"sam": model(detect["sam"])} if detect.get("sam") else {}
            made = {**made, "detect": {**detect, "detector": model(detect.get("detector") or FACE.name), **sam}}
        else:
            kind = "segs" if segment.get("segs") is not None else "mask"
            made = {**made, kind: sent(segment[kind], segment["name"])}
        for field, address in ATTACHED.items():
            if field in segment:
                made[field] = [_attached(one, address, segment["name"], sent, model) for one in segment[field]]
        segments.append(made)
    complete = {
        **draft,
        "input": {**draft["input"], "uri": uri},
        "segments": segments,
        **_model(draft, model),
        **{use: model(draft[use]) for use in ("refiner", "vae") if draft.get(use)},
        **({"embeddings": named} if (named := _embeddings(draft, model)) else {}),
        **({"detailer": drawn_with(draft["detailer"])} if draft.get("detailer") else {}),
    }
    return _request(complete)


def _attached(one: Draft, field: str, name: str, sent: Callable[[str, str], str], model: Callable[[str], str]) -> Draft:
    """A segment's ControlNet and the like, with its pictures handed in and its model known to the farm."""
    made = {**one, field: sent(one[field], f"{name}, {field}")} if one.get(field) else dict(one)
    return {**made, "model": model(made["model"])} if made.get("model") else made


def _embeddings(draft: Draft, model: Callable[[str], str]) -> dict[str, str]:
    return {name: model(address) for name, address in (draft.get("embeddings") or {}).items()}


def _request(draft: Draft) -> JobRequest:
    if not draft.get("segments"):
        raise Rejected(
            "The job says nothing about what to detail. Give --mask PICTURE (white is repainted; a folder or a video "
            "for one mask per frame), --segs FILE.json or --detect face; each may be given several times."
        )
    try:
        return JobRequest.model_validate_json(json.dumps(draft))
    except ValidationError as error:
        raise bad_document("The job", error) from None
