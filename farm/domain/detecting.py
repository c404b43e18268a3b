"""What a submission says of detectors, checked and completed. Pure."""

from __future__ import annotations

from farm.domain.detailer import Detailer, JobType
from farm.domain.detection import FACE, Detection, DetectParameters, DetectRequest
from farm.domain.job import JobRequest, Source
from farm.domain.media import Media
from farm.domain.model import ModelRef
from farm.domain.segment_request import SegmentRequest
from farm.domain.stack import FindModel
from farm.errors import NotFound, Rejected


def detector_of(name: str, find: FindModel) -> ModelRef:
    """The detector that a name or a hash stands for. Raises NotFound, Rejected: of another kind."""
    if name in (FACE.name, FACE.hash):
        return FACE
    try:
        return find(name, "detector")
    except NotFound as error:
        raise NotFound(f"{error} {FACE.name!r} comes with the farm.") from None


def detect_source(
    segment: SegmentRequest, asked: DetectRequest, detailer: Detailer, clip: Media, find: FindModel
) -> Source:
    """The source of a segment that a detector finds in the clip."""
    values = {name: getattr(asked, name) for name in DetectParameters.model_fields}
    sam = find(asked.sam, "sam") if asked.sam else None
    detection = Detection(detector=detector_of(asked.detector, find), sam=sam, **values)
    return Source(name=segment.name, kind="detect", media=clip.brief(), detailer=detailer, detect=detection)


def check_detect_job(request: JobRequest) -> None:
    """Refuses a job that only detects, where it asks for something else."""
    if request.type is not JobType.DETECT:
        return
    if len(request.segments) != 1 or request.segments[0].detect is None or request.overrides:
        raise Rejected(
            f"A job of type `detect` has one segment, with `detect`, and no `overrides`: what is found becomes its "
            f"SEGS document. This one has {len(request.segments)} segments and {len(request.overrides)} overrides. "
            f"Submit a job for each detector, or one of type `mask` or `animatediff` to repaint what is found."
        )


def model_of(request: JobRequest, find: FindModel) -> ModelRef:
    """The model that a job draws with; of a job that draws nothing, its detector."""
    if request.type is JobType.DETECT:
        check_detect_job(request)
        detect = request.segments[0].detect
        assert detect is not None  # as checked
        return detector_of(detect.detector, find)
    return find(request.model, "model")


def detect_warnings(job_type: JobType, source: Source) -> list[str]:
    """What a user may have meant otherwise."""
    asked = source.detect
    if asked is None or job_type is not JobType.ANIMATEDIFF:
        return []
    if asked.masking_mode == "pivot_segs" and source.detailer.follow:
        return [
            f"Segment {source.name!r}: with `masking_mode` pivot_segs one mask serves all frames and does not move; "
            f"`follow` does nothing. Set `masking_mode` to dont_combine."
        ]
    return []
