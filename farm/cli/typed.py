"""What a person types to describe a job; shared by `farm job submit` and `farm render`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ConfigDict, Field

from farm.adapters.model_facts import IMAGE_ENCODER
from farm.cli.draft import Draft, add_segments, assign, rooted
from farm.cli.options import Given, OptionGroup
from farm.domain.detailer import Detailer
from farm.domain.detection import DetectParameters, DetectRequest
from farm.domain.job import InputRequest, JobRequest
from farm.domain.keyframes import typed_over
from farm.errors import Rejected

MODEL_FILES = (".safetensors", ".onnx")
"""Endings of models of one file."""
_T = TypeVar("_T", list[Any], dict[str, Any])

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="INPUT",
        help="A video, a folder of numbered pictures, a zip of them, one picture, or s3://bucket/prefix/.",
        show_default=False,
    ),
]


class What(BaseModel):
    """What is detailed, as typed."""

    model_config = ConfigDict(use_attribute_docstrings=True, populate_by_name=True)

    mask: list[str] = []
    """[NAME=]PATH of a mask: white is repainted. A picture for all frames, or a folder, zip or video with one per
    frame. May be given several times; segments are pasted in this order."""
    segs: list[str] = []
    """[NAME=]PATH of a SEGS document (JSON). May be given several times; pasted after the masks."""
    detect: list[str] = []
    """[NAME=]DETECTOR: what it finds in the clip is detailed. `face` comes with the farm; other detectors by name, or
    as a .onnx file. May be given several times; pasted last."""
    document: Annotated[Path | None, Field(alias="job")] = None
    """A whole job as JSON, as the API takes it; addresses may be paths, taken from the document's folder. Other options
    win over it."""
    assign: Annotated[list[str], Field(alias="set")] = []
    """PARAMETER=VALUE, or segments.NAME.PARAMETER=VALUE for one segment. May be given several times; wins over all."""
    like: str | None = None
    """A job's id, or `last`: the new job is as that one was, but for the options that are given here. With --frames the
    change holds for those frames only; all others stay as they are there."""


WHAT = OptionGroup(What, "What to detail")
HOW_TO_DETECT = (*DetectParameters.model_fields, "sam")
DETECT = OptionGroup(DetectRequest, "Detectors (of all --detect)", HOW_TO_DETECT, prefix="detect")
CLIP = OptionGroup(InputRequest, "What to detail", ("frames", "fps"))
JOB = OptionGroup(
    JobRequest,
    "Job",
    (
        "name",
        "type",
        "model",
        "refiner",
        "vae",
        "motion",
        "outputs",
        "batch_size",
        "chunk",
        "batch_limit",
        "priority",
        "vram_gb",
        "max_attempts",
        "max_workers",
        "approve_every",
        "notify",
        "webhook",
    ),
)
DETAILER = OptionGroup(Detailer, "Parameters (of all segments)")


def typed_draft(
    source: str | None, what: Given, clip: Given, job: Given, detailer: Given, detect: Given | None = None
) -> Draft:
    """The draft of all that was typed: the document first, then the options, `--set` last. Raises Rejected."""
    typed = What.model_validate(what)
    if typed.like is not None:
        raise Rejected("--like names a job of a farm; it goes with `farm job submit` and `farm job plan`.")
    draft = _document(typed.document) if typed.document else {}
    if source is not None:
        draft["input"] = {**draft.get("input", {}), "uri": source}
    if clip:
        draft["input"] = {**draft.get("input", {}), **clip}
    add_segments(draft, "mask", typed.mask)
    add_segments(draft, "segs", typed.segs)
    add_segments(draft, "detect", typed.detect)
    _detect(draft, as_lists(detect or {}))
    if "outputs" in job:
        job = {**job, "outputs": separated(job["outputs"])}
    if "notify" in job:
        job = {**job, "notify": separated(job["notify"])}
    if "webhook" in job:
        job = {**job, "webhook": _webhook(str(job["webhook"]))}
    if "loras" in detailer:
        detailer = {**detailer, "loras": separated(detailer["loras"])}
    if str(job.get("chunk", "")).isdigit():
        job = {**job, "chunk": int(job["chunk"])}
    draft.update({name: str(value) if name == "type" else value for name, value in job.items()})
    detailer = as_json(detailer)
    if detailer:
        draft["detailer"] = typed_over(draft.get("detailer", {}), detailer)
    for text in typed.assign:
        assign(draft, text)
    return draft


def as_lists(detect: Given) -> Given:
    """The options of detectors, lists read. Raises Rejected."""
    lists: Given = {}
    if "labels" in detect:
        lists["labels"] = separated(detect["labels"])
    if "identities" in detect:
        numbers = separated(detect["identities"])
        if not all(number.isdecimal() for number in numbers):
            raise Rejected(f"--detect-identities is {detect['identities']!r}; give numbers with commas between: 1,3.")
        lists["identities"] = [int(number) for number in numbers]
    return {**detect, **lists}


def _detect(draft: Draft, given: Given) -> None:
    """Say of all segments with a detector what was typed of detectors."""
    found = [segment for segment in draft.get("segments", ()) if isinstance(segment.get("detect"), dict)]
    if given and not found:
        named = ", ".join(f"--detect-{name.replace('_', '-')}" for name in given)
        raise Rejected(f"{named} says how to detect, but nothing is to be detected. Add --detect face.")
    for segment in found:
        segment["detect"] = {**segment["detect"], **given}


def as_json(detailer: Given) -> Given:
    """The options of a detailer that are written as JSON, read. Raises Rejected."""
    if "hooks" in detailer:
        detailer = {**detailer, "hooks": _json("--hooks", detailer["hooks"], list, '[{"kind": ...}]')}
    if "keyframes" in detailer:
        example = '{"denoise": [[1, 0.3], [120, 0.6]]}'
        detailer = {**detailer, "keyframes": _json("--keyframes", detailer["keyframes"], dict, example)}
    return detailer


def _webhook(text: str) -> dict[str, Any]:
    """An address, or JSON with secret and kinds."""
    example = '{"url": "https://…", "secret": "…", "kinds": ["job"]}'
    return _json("--webhook", text, dict, example) if text.lstrip().startswith("{") else {"url": text}


def _json(option: str, text: str, kind: type[_T], example: str) -> _T:
    what = "list" if kind is list else "object"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Rejected(f"{option} is no JSON: {error}. Write it as in {example!r}.") from None
    if not isinstance(found, kind):
        raise Rejected(f"{option} is no JSON {what}. Write it as in {example!r}.")
    return found


def _document(path: Path) -> Draft:
    try:
        found: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise Rejected(f"The job's document {str(path)!r} cannot be read: {error.strerror}. Check the path.") from None
    except ValueError as error:
        raise Rejected(f"The job's document {str(path)!r} is no JSON: {error}. Correct it there.") from None
    if not isinstance(found, dict):
        raise Rejected(f"The job's document {str(path)!r} holds no JSON object. Begin it with {{ and end it with }}.")
    return rooted(found, path.parent)


def separated(text: object) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in str(text).split(",") if name.strip()]


def model_path(name: str) -> Path | None:
    """The folder or file that a `--model` (or `--vae`, `--loras`) means, or None where it is a name or hash.

    A folder of diffusers' layout, a .safetensors or a .onnx file of that name wins.
    """
    path = Path(name).expanduser()
    if path.suffix in MODEL_FILES and path.is_file():
        return path
    if any((path / document).is_file() for document in ("model_index.json", "config.json", IMAGE_ENCODER)):
        return path
    if "/" in name or name.startswith((".", "~")):
        if not path.exists():
            raise Rejected(
                f"There is no file or folder {name!r}. Check the path, which is looked up from {Path.cwd()}, or give "
                f"a name of `farm model list`."
            )
        raise Rejected(
            f"{name!r} is no {' or '.join(MODEL_FILES)} file and has no model_index.json. Give such a file, a folder "
            f"in diffusers' layout (unet, vae, text_encoder, tokenizer, scheduler), or a name of `farm model list`."
        )
    return None
