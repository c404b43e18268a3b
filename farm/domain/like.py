"""A job made from another one: everything as it was there, but for what is said. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from farm.domain.assign import BadPath, Draft, assign, place
from farm.domain.detection import Detection
from farm.domain.job import Job, JobRequest, Source
from farm.domain.keyframes import Keyframes
from farm.domain.media import Media
from farm.domain.ranges import numbers_of
from farm.domain.segment_request import SegmentChange
from farm.errors import Rejected

UPLOAD = "upload:"
_AS_THEY_ARE = (
    *("name", "type", "batch_size", "chunk", "batch_limit", "outputs"),
    *("priority", "max_attempts", "max_workers", "approve_every"),
)
"""Fields that a job and its request have in common."""


class LikeRequest(BaseModel):
    """A job as another one was, with changes. Models, inputs and defaults are those of that job, by their content."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    like: Annotated[str, Field(min_length=1, max_length=64)]
    """Id of the other job."""
    set: dict[str, JsonValue] = {}
    """Path -> value: `segments.face.prompt`, `denoise` (of all segments, whatever they had), `priority`."""
    frames: Annotated[str | None, Field(max_length=64, examples=["5000-5099"])] = None
    """First and last frame for which `set` holds; the other frames stay as they are. All, if left out."""


def alike(job: Job, clip: Media, asked: LikeRequest) -> JobRequest:
    """The request that `asked` stands for.

    Args:
        job: the job that is meant by `asked.like`.
        clip: the long form of its input.
    Raises:
        Rejected: a path that names nothing, a value that cannot be, or one that cannot differ between frames.
    """
    draft = draft_of(job, clip)
    if asked.frames is None:
        for path, value in asked.set.items():
            _assign_everywhere(draft, path, value)
    else:
        for override in _overrides(draft, asked.set, asked.frames):
            draft["overrides"] = [*_still_seen(draft.get("overrides", []), override), override]
    try:
        return JobRequest.model_validate(draft)
    except ValidationError as error:
        raise _unusable(job, error) from None


def draft_of(job: Job, clip: Media) -> Draft:
    """The request that gives the same job on any farm that holds what it is made of: all by content, nothing left to
    defaults. What all segments have in common stands in `detailer`."""
    parameters = [_parameters(source) for source in job.sources]
    shared = {n: value for n, value in parameters[0].items() if all(n in p and p[n] == value for p in parameters)}
    draft: Draft = {name: getattr(job, name) for name in _AS_THEY_ARE}
    embeddings = {name: ref.hash for source in job.all_sources for name, ref in source.embeddings.items()}
    draft |= {
        "input": _input(job, clip),
        "detailer": shared,
        "segments": [
            {
                "name": source.name,
                source.kind: _found_by(source.detect) if source.detect else UPLOAD + source.media.id,
                **{name: value for name, value in own.items() if name not in shared},
                **_attached(source),
            }
            for source, own in zip(job.sources, parameters, strict=True)
        ],
        "overrides": [one.model_dump(mode="json", exclude_unset=True) for one in job.overrides],
        "model": job.model.hash,
        "refiner": job.refiner.hash if job.refiner else None,
        "vae": job.vae.hash if job.vae else None,
        "motion": job.motion.hash if job.motion else None,
        "motion_loras": [{"model": one.model.hash, "strength": one.strength} for one in job.motion_loras],
        "embeddings": embeddings,
        "vram_gb": float(job.gpu_queue.partition(".")[2]),
    }
    # Who is told of that job did not ask to be told of others.
    return draft | {"type": job.type.value, "outputs": list(job.outputs), "notify": [], "webhook": None}


def _found_by(detection: Detection) -> dict[str, Any]:
    """A detector as it is asked for."""
    models = {"detector": detection.detector.hash, "sam": detection.sam.hash if detection.sam else None}
    return {**detection.model_dump(mode="json", exclude={"detector", "sam"}), **models}


def _parameters(source: Source) -> dict[str, Any]:
    values = source.detailer.model_dump(mode="json")
    loras = [{"model": one.model.hash, "weight": one.weight, "clip_weight": one.clip_weight} for one in source.loras]
    # A parameter has key frames or a value, never both.
    keyframes = {name: keys for name, keys in (values.pop("keyframes") or {}).items() if keys}
    plain = {name: value for name, value in values.items() if name not in keyframes}
    return plain | {"loras": loras} | ({"keyframes": keyframes} if keyframes else {})


def _attached(source: Source) -> dict[str, Any]:
    """What a segment brings along, as it is asked for."""
    found: dict[str, list[dict[str, Any]]] = {
        "controlnets": [
            {
                **one.model_dump(mode="json", exclude={"model", "image"}),
                "model": one.model.hash,
                "image": UPLOAD + one.image.id if one.image else None,
            }
            for one in source.controls
        ],
        "image_prompts": [
            {
                **one.model_dump(mode="json", exclude={"model", "image"}),
                "model": one.model.hash,
                "image": UPLOAD + one.image.id,
            }
            for one in source.image_prompts
        ],
        "conditionings": [
            {**one.model_dump(mode="json", exclude={"mask"}), "mask": UPLOAD + one.mask.id}
            for one in source.conditionings
        ],
    }
    return {name: entries for name, entries in found.items() if entries}


def _input(job: Job, clip: Media) -> dict[str, Any]:
    numbers = numbers_of(clip)
    asked: dict[str, Any] = {"uri": UPLOAD + job.input.id}
    if (job.start, job.end) != (0, clip.frames):
        asked["frames"] = f"{numbers[job.start]}-{numbers[job.end - 1]}"
    return asked if job.fps == clip.fps else {**asked, "fps": float(Fraction(*job.fps))}


def _assign_everywhere(draft: Draft, path: str, value: JsonValue) -> None:
    """Set a value; one of all segments takes the place of what single segments had, one value that of key frames."""
    holder, name, rest = place(draft, path)
    everywhere = holder is draft["detailer"]
    if everywhere and rest and name not in holder:
        raise BadPath(path, f"the segments differ in {name!r}; say which one is meant")
    if everywhere:
        for segment in draft["segments"]:
            segment.pop(name, None)
    assign(draft, path, value)
    for each in (draft["detailer"], *draft["segments"]) if everywhere else (holder,):
        _one_way(each, name, holder.get("keyframes"))


def _one_way(holder: Draft, name: str, keyframes: Any) -> None:  # noqa: ANN401 - any JSON
    """Leave of a value and its key frames what was set last: the parameter `name`, or `keyframes`."""
    own = holder.get("keyframes")
    if name in Keyframes.model_fields and isinstance(own, dict):
        holder["keyframes"] = {each: keys for each, keys in own.items() if each != name}
    elif name == "keyframes" and isinstance(keyframes, dict):
        for each in keyframes:
            holder.pop(each, None)


def _overrides(draft: Draft, changes: Mapping[str, JsonValue], frames: str) -> list[Draft]:
    """The changes as overrides of a range: first that of all segments, then those of single ones."""
    if not changes:
        raise Rejected("`frames` limits a change to a range, but nothing is changed. Say what: --set denoise=0.4.")
    by_segment: dict[str, Draft] = {}
    for path, value in changes.items():
        after = copy.deepcopy(draft)
        holder, name, _ = place(after, path)
        of_all = holder is after["detailer"]
        if name not in SegmentChange.model_fields or not (of_all or "name" in holder):
            raise BadPath(
                path,
                f"{name!r} cannot differ between the frames of one job, only what is said of segments can. "
                f"Leave `frames` out to change it for all, or set `input.frames` to take other frames",
            )
        if of_all:
            _assign_everywhere(after, path, value)
        else:
            holder.setdefault(name, after["detailer"].get(name))
            assign(after, path, value)
        segment = "" if of_all else holder["name"]
        by_segment.setdefault(segment, {})[name] = holder[name]
    return [
        {"frames": frames, **({"segments": [name]} if name else {}), "set": by_segment[name]}
        for name in sorted(by_segment, key=bool)
    ]


def _still_seen(before: Iterable[Draft], new: Draft) -> list[Draft]:
    """The overrides without those that `new` hides."""
    return [one for one in before if not _hides(new, one)]


def _hides(new: Draft, old: Draft) -> bool:
    """Whether nothing of an override is left where another one over the same frames comes after it."""
    all_segments = "segments" not in new
    some_segments = not all_segments and "segments" in old and set(old["segments"]) <= set(new["segments"])
    return (all_segments or some_segments) and old["frames"] == new["frames"] and set(old["set"]) <= set(new["set"])


def _unusable(job: Job, error: ValidationError) -> Rejected:
    first, *others = error.errors()
    path = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return Rejected(
        f"Job {job.id} with these changes is no job: `{path}` is {first.get('input')!r}: {first['msg']}{more}. "
        f"Correct the value; docs/parameters.md has the ranges."
    )
