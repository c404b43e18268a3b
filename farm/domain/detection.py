"""What is to be found in a clip by a detector: parameters, as a user gives them and as a job keeps them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from farm.domain.model import ModelRef

FACE = ModelRef(name="face", hash="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc", kind="detector")
"""The detector that comes with the farm; its hash is that of the one file of its weights."""
DETECT_FRAMES = 32
"""Frames that one detect task looks at, at least."""
DETECT_TASKS = 256
"""Detect tasks of a job, at most: those of longer clips look at more frames each."""
ALL_LABELS = "all"
"""Stands for every label."""

Label = Annotated[str, Field(min_length=1, max_length=100)]
MaskingMode = Literal["pivot_segs", "combine_neighboring_frames", "dont_combine"]
SegsPivot = Literal["combined_mask", "first_frame_mask"]


class DetectParameters(BaseModel):
    """How a clip is searched, and what becomes of what is found."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Confidence from which on something counts as found."""
    dilation: Annotated[int, Field(ge=-512, le=512)] = 10
    """Pixels by which masks are grown (side of the square kernel); below 0 they shrink."""
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=64)] = (ALL_LABELS,)
    """Labels that are kept; `all`: whatever the detector finds."""
    every: Annotated[int, Field(ge=1, le=1000)] = 1
    """Look at each n-th frame (and at the last one); tracking fills the frames between."""
    track: bool = True
    """Follow what is found from frame to frame: each face, say, is one segment with a number of its own through the
    clip."""
    max_gap: Annotated[int, Field(ge=0, le=10_000)] = 12
    """Frames for which something tracked may be out of sight; its box is filled in there. A longer gap, and a cut, end
    a track."""
    min_frames: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Tracks over fewer frames are dropped."""
    identities: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=256)] = ()
    """Numbers of the tracks that are kept; all, if left out. They are counted by first frame, then from left to
    right."""
    masking_mode: MaskingMode = "pivot_segs"
    """`animatediff` jobs: one mask for all frames (`pivot_segs`), a frame's own (`dont_combine`), or that with those of
    the frames before and after it (`combine_neighboring_frames`)."""
    segs_pivot: SegsPivot = "combined_mask"
    """What a segment of a whole clip is: all that is marked in any frame, or in the first one."""

    sam_threshold: Annotated[float, Field(ge=0, le=1)] = 0.93
    """With `sam`: masks with at least this score are taken, or else the best one."""
    sam_bbox_expansion: Annotated[int, Field(ge=0, le=1000)] = 0
    """With `sam`: pixels by which the box is grown that it is shown."""
    sam_dilation: Annotated[int, Field(ge=-512, le=512)] = 0
    """With `sam`: pixels by which its masks are grown, inside of the box grown by `dilation`."""

    @model_validator(mode="after")
    def _between(self) -> DetectParameters:
        if not self.track and (self.every > 1 or self.identities):
            asked = "`every` above 1 leaves frames that only tracking can fill" if self.every > 1 else "`identities`"
            raise ValueError(f"{asked}: needs `track`. Set `track` to true, or leave the other out.")
        return self


class DetectRequest(DetectParameters):
    """A detector and how it is used. `crop_factor` and `drop_size` are those of the segment."""

    detector: Annotated[str, Field(min_length=1, max_length=200)] = FACE.name
    """`face`, which comes with the farm, or name or content hash of a detector that was added."""
    sam: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Name or content hash of a SAM that was added: of each box, the shape of what is in it."""


class Detection(DetectParameters):
    """The same, complete."""

    detector: ModelRef
    sam: ModelRef | None = None


def detect_run(frames: int) -> int:
    """Frames that one detect task of a clip of `frames` frames looks at."""
    return max(DETECT_FRAMES, -(-frames // DETECT_TASKS))


def looked_at(start: int, end: int, every: int, span: tuple[int, int]) -> list[int]:
    """The positions of [start, end) that are looked at, in a job over the positions `span`: each `every`-th, and the
    last one of the job."""
    first, last = span
    return [p for p in range(start, end) if (p - first) % every == 0 or p == last - 1]
