"""From what a user asked for to a job that can run: everything that can be known at submit is checked here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from farm.domain.attachments import Lookup, Packages, attached, check_count
from farm.domain.chunk_length import WorkerSpeed, asked_chunk, chunk_length
from farm.domain.detailer import MAX_SEED, Detailer, JobType, merged
from farm.domain.detecting import detect_source, detect_warnings, model_of
from farm.domain.job import Job, JobRequest, Source
from farm.domain.media import Media
from farm.domain.model import ModelRef
from farm.domain.motion import check_windows, motion_of, window_warnings
from farm.domain.notices import Webhook, shown
from farm.domain.queues import gpu_queue
from farm.domain.ranges import check_moving, complete_ranges, numbers_of
from farm.domain.sampling_names import check_names
from farm.domain.segment import SegsDocument
from farm.domain.segment_request import SegmentRequest
from farm.domain.stack import FindModel, embeddings_of, fitting, loras_of, second_model, texts_of
from farm.domain.step_rules import check_steps
from farm.errors import Rejected

WHOLE_CLIP_FRAMES = 256
"""Frames that one worker samples together at the most, unless a farm sets another number."""
DEFAULT_FPS = Fraction(25)
"""Frames per second of the video made of pictures."""
_WORDS = frozenset({"prompt", "negative"})
"""Parameters that are a matter of taste."""
_RANGE = re.compile(r"^\s*(-?\d+)\s*(?:-\s*(-?\d+)\s*)?$")


@dataclass(frozen=True)
class Registry:
    """Where a submission looks things up; each raises NotFound with what there is."""

    media: Callable[[str], Media]
    """Upload URI -> the long form."""
    model: FindModel
    """Name or hash, and what it must be -> model, LoRA and so on."""
    segs: Callable[[Media], SegsDocument]
    """A SEGS document's content."""
    packages: Packages = field(default_factory=Packages)
    """What installed packages add."""
    workers: Callable[[], Sequence[WorkerSpeed]] = tuple
    """Those that are alive."""


def complete(
    request: JobRequest,
    registry: Registry,
    *,
    job_id: str,
    created: str,
    user: str,
    engine: str,
    whole_clip_frames: int = WHOLE_CLIP_FRAMES,
) -> Job:
    """The job that `request` stands for.

    Args:
        whole_clip_frames: frames that one worker samples together at the most, where windows reach over a whole clip.
    Raises:
        Rejected: what cannot run: a range outside the clip, masks of another size or count, an empty mask, an unknown
            sampler or model, numbers that do not go together. The text says what was seen, needed, and what to change.
    """
    clip = registry.media(request.input.uri)
    if clip.kind == "segs":
        raise Rejected(f"The input {clip.name!r} is a SEGS document; give a video or pictures as `input.uri`.")
    start, end = frame_range(clip, request.input.frames)
    model = model_of(request, registry.model)
    # Who names no model wants a result that looks well, who names one wants the node's own numbers.
    advised = Detailer.model_validate(model.recommended if "model" not in request.model_fields_set else {})
    lookup = Lookup(
        registry.media,
        lambda name: registry.model(name, "controlnet"),
        lambda name: registry.model(name, "ip_adapter"),
        registry.packages,
    )

    def completed(segment: SegmentRequest) -> Source:
        plain = _source(request, segment, registry, clip, (start, end), advised)
        if request.type is JobType.DETECT:
            return plain
        return _with_stack(attached(plain, segment, clip, (start, end), lookup), request, model, registry.model)

    sources = tuple(completed(segment) for segment in request.segments)
    ranges = complete_ranges(request, clip, (start, end), lambda text: frame_range(clip, text), completed)
    motion, motion_loras = motion_of(request, model, registry.model)
    asked, notes = asked_chunk(request, sources, end - start, registry.workers)
    job = Job(
        id=job_id,
        name=request.name or clip.name,
        type=request.type,
        user=user,
        created=created,
        input=clip.brief(),
        start=start,
        end=end,
        fps=_fps(request, clip),
        sources=sources,
        overrides=request.overrides,
        ranges=ranges,
        model=model,
        refiner=second_model("refiner", request.refiner, "model", model, registry.model),
        vae=second_model("VAE", request.vae, "vae", model, registry.model),
        motion=motion,
        motion_loras=motion_loras,
        engine=engine,
        batch_size=request.batch_size,
        chunk=chunk_length(request.type, asked, sources, end - start, whole_clip_frames),
        batch_limit=request.batch_limit,
        outputs=() if request.type is JobType.DETECT else request.outputs,
        priority=request.priority,
        max_attempts=request.max_attempts,
        max_workers=request.max_workers,
        approve_every=request.approve_every,
        notify=request.notify,
        webhook=_webhook(request),
        gpu_queue=gpu_queue(request.vram_gb),
        warnings=(*notes, *_advice(model, advised, sources), *_warnings(request.type, sources, advised)),
    )
    if job.type is JobType.ANIMATEDIFF:
        check_moving(job, clip)
    return job


def frame_range(clip: Media, text: str | None) -> tuple[int, int]:
    """Positions [start, end) of a range of frame numbers such as `60-91` or `60`; the whole clip for None."""
    if text is None:
        return 0, clip.frames
    numbers = numbers_of(clip)
    match = _RANGE.match(text)
    if match is None:
        raise Rejected(
            f"`frames` is {text!r}; give the first and the last frame number, such as {numbers[0]}-{numbers[-1]}. "
            f"Steps and lists of frames are not supported."
        )
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise Rejected(f"`frames` is {text!r}: the last frame comes before the first; write {last}-{first}.")
    for number in (first, last):
        if number not in numbers:
            raise Rejected(
                f"`frames` is {text!r}, but {clip.name!r} has frames {numbers[0]} to {numbers[-1]} "
                f"({clip.frames} of them) and none with the number {number}. Choose a range inside."
            )
    return numbers.index(first), numbers.index(last) + 1


def mask_position(media: Media, clip_frames: int, start: int, position: int) -> int:
    """Which picture of a mask belongs to the clip's frame at `position`: one for all, one per frame of the clip, or one
    per frame of the range that starts at `start`."""
    if media.frames == 1:
        return 0
    return position if media.frames == clip_frames else position - start


def _source(
    request: JobRequest,
    segment: SegmentRequest,
    registry: Registry,
    clip: Media,
    span: tuple[int, int],
    advised: Detailer,
) -> Source:
    start, end = span
    detailer = merged(request.type, advised, request.detailer, segment)
    _check_detailer(segment.name, detailer, request, end)
    if segment.detect is not None:
        return detect_source(segment, segment.detect, detailer, clip, registry.model)
    if segment.segs is not None:
        media = registry.media(segment.segs)
        if media.kind != "segs":
            raise Rejected(
                f"Segment {segment.name!r}: {media.name!r} is no SEGS document. Give JSON with `header` and `segs` or "
                f"`frames`, or give the file as `mask`."
            )
        _check_segs(segment.name, media, registry.segs(media), clip, (start, end))
        return Source(name=segment.name, kind="segs", media=media.brief(), detailer=detailer)
    media = registry.media(segment.mask or "")
    _check_mask(segment.name, media, clip, end - start)
    return Source(name=segment.name, kind="mask", media=media.brief(), detailer=detailer)


def _with_stack(source: Source, request: JobRequest, model: ModelRef, find: FindModel) -> Source:
    """The source with what its detailer lays over the model."""
    for beside in (*(one.model for one in source.controls), *(one.model for one in source.image_prompts)):
        fitting(beside, model)
    loras = loras_of(source.detailer.loras, model, find)
    embeddings = embeddings_of(texts_of(source), model, request.embeddings, find)
    return source.model_copy(update={"loras": loras, "embeddings": embeddings})


def _check_mask(name: str, mask: Media, clip: Media, frames: int) -> None:
    if mask.kind == "segs":
        raise Rejected(f"Segment {name!r}: {mask.name!r} is a SEGS document; give it as `segs`, not as `mask`.")
    if (mask.width, mask.height) != (clip.width, clip.height):
        raise Rejected(
            f"Segment {name!r}: the mask {mask.name!r} is {mask.width}x{mask.height} px, the clip {clip.name!r} is "
            f"{clip.width}x{clip.height} px. Scale the mask to the clip's size."
        )
    check_count(f"Segment {name!r}, mask", mask, clip, frames)
    if mask.empty:
        raise Rejected(
            f"Segment {name!r}: the mask {mask.name!r} is empty: no pixel is white in any of its {mask.frames} frames. "
            f"Paint what is to be repainted white, or leave the segment out."
        )


def _check_segs(name: str, media: Media, document: SegsDocument, clip: Media, span: tuple[int, int]) -> None:
    start, end = span
    counts = {len(entry.mask) for entry in document.segs if not isinstance(entry.mask, str)} - {0, 1}
    wrong = counts - {clip.frames, end - start}
    if wrong:
        raise Rejected(
            f"Segment {name!r}: an entry of {media.name!r} has {min(wrong)} masks; it needs 1 (for all frames) or "
            f"{end - start} (one per frame)."
        )
    if document.frames:
        numbers = numbers_of(clip)
        if not any(number in document.frames for number in numbers[start:end]):
            raise Rejected(
                f"Segment {name!r}: {media.name!r} has segments for frames {min(document.frames)} to "
                f"{max(document.frames)}, the job's frames are {numbers[start]} to {numbers[end - 1]}. "
                f"Number the document's frames as the clip's, or change `frames`."
            )


def _check_detailer(name: str, detailer: Detailer, request: JobRequest, end: int) -> None:
    check_names(detailer.sampler_name, detailer.scheduler)
    check_steps(detailer, request.refiner is not None)
    largest = detailer.seed + request.batch_size + detailer.cycle + (end if detailer.seed_mode == "per_frame" else 0)
    if largest + 1024 > MAX_SEED:
        raise Rejected(
            f"Segment {name!r}: seed {detailer.seed} is too near 2^64: segments, variations and cycles add to it. "
            f"Choose a seed below {MAX_SEED - (largest - detailer.seed) - 1024}."
        )
    check_windows(name, detailer)


def _webhook(request: JobRequest) -> Webhook | None:
    asked = request.webhook
    return Webhook(to=shown(asked.url), kinds=asked.kinds, signed=asked.secret is not None) if asked else None


def _fps(request: JobRequest, clip: Media) -> tuple[int, int]:
    if clip.fps is not None and request.input.fps is None:
        return clip.fps
    wanted = Fraction(request.input.fps).limit_denominator(1001) if request.input.fps is not None else DEFAULT_FPS
    return wanted.numerator, wanted.denominator


def _advice(model: ModelRef, advised: Detailer, sources: tuple[Source, ...]) -> list[str]:
    if not model.recommended:
        return []
    told = ", ".join(f"{name} {value}" for name, value in model.recommended.items() if name not in _WORDS)
    if advised.model_fields_set:
        return [f"No model was named: {model.name!r} is used with what it recommends ({told}), where you set nothing."]
    other = sorted(
        name
        for name, value in model.recommended.items()
        if name not in _WORDS and any(getattr(source.detailer, name) != value for source in sources)
    )
    return [f"Model {model.name!r} recommends {told}; this job differs in {', '.join(other)}."] if other else []


def _warnings(job_type: JobType, sources: tuple[Source, ...], advised: Detailer) -> list[str]:
    found = []
    for source in sources:
        if source.detailer.follow and job_type is JobType.MASK:
            found.append(f"Segment {source.name!r}: in `mask` jobs each frame has its own crop; `follow` does nothing.")
        elif source.detailer.follow and source.kind == "mask" and source.media.frames == 1:
            found.append(f"Segment {source.name!r}: one mask for all frames does not move; `follow` does nothing.")
        found += detect_warnings(job_type, source)
        if not source.detailer.max_size_hard and source.detailer.guide_size > source.detailer.max_size:
            found.append(
                f"Segment {source.name!r}: guide_size {source.detailer.guide_size:g} is above max_size "
                f"{source.detailer.max_size:g}; max_size wins where a crop is enlarged."
            )
        found += window_warnings(source.name, source.detailer)
        keyed = source.detailer.keyframes
        own = source.detailer.negative not in ("", advised.negative)  # not one that came with the model's advice
        if own and source.detailer.cfg == 1.0 and not (keyed and keyed.cfg):
            found.append(f"Segment {source.name!r}: the negative prompt has no effect at cfg 1.")
    return found
