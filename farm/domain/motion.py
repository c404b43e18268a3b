"""What an `animatediff` job says of motion: its motion module, and windows over a clip. Checked at submit."""

from __future__ import annotations

from farm.domain.detailer import Detailer, JobType
from farm.domain.job import JobRequest, MotionLora, Source
from farm.domain.model import ModelRef
from farm.domain.stack import FindModel
from farm.errors import Rejected


def motion_of(request: JobRequest, model: ModelRef, find: FindModel) -> tuple[ModelRef | None, tuple[MotionLora, ...]]:
    """The motion module and its LoRAs, by content.

    Raises:
        Rejected: a `mask` job has some, an `animatediff` job has none. NotFound: as `find` does.
    """
    if request.type is not JobType.ANIMATEDIFF:
        if request.motion or request.motion_loras:
            raise Rejected(
                "`motion` and `motion_loras` are for `animatediff` jobs: in a `mask` job frames do not see each other. "
                "Leave them out, or submit the job as `animatediff`."
            )
        return None, ()
    motion = find(request.motion, "motion") if request.motion else None
    if motion is None and not model.has_motion:
        raise Rejected(
            f"Model {model.name!r} has no motion module, which an `animatediff` job needs. Name one as `motion`, "
            f"put a MotionAdapter into the model's folder as `motion_adapter/`, or submit a `mask` job."
        )
    return motion, tuple(
        MotionLora(model=find(lora.model, "motion_lora"), strength=lora.strength) for lora in request.motion_loras
    )


def whole_clip(detailer: Detailer) -> bool:
    """Whether windows wander over the clip, so that no part of it can be sampled by itself."""
    return detailer.context_schedule != "standard_static"


def whole_chunk(source: Source, chunk: int | None, frames: int, limit: int) -> int:
    """Frames of the one chunk of a job whose clip is sampled whole.

    Args:
        source: one whose windows wander.
        chunk: what the user asked for, if anything.
        frames: of the job.
        limit: frames that one worker samples together at the most.
    Raises:
        Rejected.
    """
    schedule = source.detailer.context_schedule
    if frames > limit:
        raise Rejected(
            f"Segment {source.name!r}: with `context_schedule` {schedule!r} one worker samples all frames of the job "
            f"together: {frames}, and this farm allows {limit}. Set `context_schedule` to 'standard_static', take "
            f"fewer frames with `input.frames`, or raise FARM_WHOLE_CLIP_FRAMES of the API."
        )
    if chunk is not None and chunk < frames:
        raise Rejected(
            f"`chunk` is {chunk}, but with `context_schedule` {schedule!r} (segment {source.name!r}) the job's "
            f"{frames} frames cannot be divided. Leave `chunk` out, or set `context_schedule` to 'standard_static'."
        )
    return chunk or frames


def check_windows(name: str, detailer: Detailer) -> None:
    """Raises Rejected for windows that cannot be; `name` is the segment's."""
    if detailer.context_overlap >= detailer.context_length:
        raise Rejected(
            f"Segment {name!r}: context_overlap is {detailer.context_overlap} and context_length "
            f"{detailer.context_length}; the overlap must be smaller than the window."
        )


def window_warnings(name: str, detailer: Detailer) -> list[str]:
    """Parameters of windows that have no effect together."""
    found = []
    if detailer.context_stride > 1 and not whole_clip(detailer):
        found.append(f"Segment {name!r}: context_stride has an effect with a uniform context_schedule only.")
    if detailer.closed_loop and detailer.context_schedule != "looped_uniform":
        found.append(f"Segment {name!r}: closed_loop has an effect with context_schedule 'looped_uniform' only.")
    return found
