"""What the demo details: the clip, its masks, and the two jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farm.client import Farm
from farm.domain.detailer import Detailer, JobType
from farm.domain.job import InputRequest, JobRequest
from farm.domain.segment_request import SegmentRequest

CLIPS = Path(__file__).resolve().parents[1] / "assets" / "demo" / "clips"
SOFT = CLIPS / "bigbuckbunny_soft.mp4"
SHARP = CLIPS / "bigbuckbunny.mp4"
"""The same frames as they were before their details were lost: the truth to compare with."""
HEAD = CLIPS / "bigbuckbunny_head"
PAW = CLIPS / "bigbuckbunny_paw"

FRAMES = 132
"""Frames of the clip."""
CALM = 60
"""Number of the first frame where the head hardly moves for 32 frames."""

PARAMETERS = Detailer(
    prompt="sharp, detailed, fur, animation still",
    negative="blurry, low quality",
    denoise=0.25,
    cfg=1.0,
    steps=10,
    sampler_name="euler",
    scheduler="normal",
    noise="shared",
    seed=7,
    guide_size=160,
    max_size=384,
    size_multiple=64,
    crop_factor=1.3,
    feather=5,
)
"""What the embedded model does well, by its card; `guide_size` is about the head's own size, so that crops are sampled
at the scale that the model was trained on, and small enough for a CPU."""


@dataclass(frozen=True)
class Range:
    """The frames that are detailed, by number, both inclusive."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.last - self.first + 1


def chosen(count: int) -> Range:
    """`count` frames, from the calm ones on as far as the clip goes; all of them for 132 or more."""
    count = max(1, min(count, FRAMES))
    first = min(CALM, FRAMES - count + 1)
    return Range(first, first + count - 1)


def requests(farm: Farm, frames: Range) -> dict[JobType, JobRequest]:
    """The two jobs, their files handed in."""
    clip = InputRequest(uri=farm.upload(SOFT).uri, frames=f"{frames.first}-{frames.last}")
    head = SegmentRequest(name="head", mask=farm.upload(HEAD).uri)
    paw = SegmentRequest(name="paw", mask=farm.upload(PAW).uri)
    return {
        kind: JobRequest(
            name=f"demo, {kind}",
            type=kind,
            input=clip,
            segments=segments,
            detailer=PARAMETERS,
            model="demo",
            outputs=("video",),
        )
        for kind, segments in ((JobType.ANIMATEDIFF, (head,)), (JobType.MASK, (head, paw)))
    }
