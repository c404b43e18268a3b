"""A job, as a user asks for it and as the farm runs it: two types, so that nothing below meets what was left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from farm.domain.control import ConditioningParameters, ControlParameters, ImagePromptParameters
from farm.domain.detailer import Detailer, JobType
from farm.domain.detection import Detection
from farm.domain.hooks import impure
from farm.domain.media import Media
from farm.domain.model import LoraRef, ModelRef
from farm.domain.notices import Webhook, WebhookRequest, check_addresses
from farm.domain.queues import CPU
from farm.domain.segment_request import OverrideRequest, SourceName
from farm.domain.segment_request import SegmentRequest as SegmentRequest

Name = Annotated[str, Field(min_length=1, max_length=200)]
# Told apart by a function, so that an error speaks of one of them only.
ChunkLength = Annotated[
    Annotated[int, Field(ge=1, le=4096), Tag("frames")] | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(lambda given: "auto" if given == "auto" else "frames"),
]
Output = Literal["video", "cropped", "cropped_refined", "cropped_enhanced_alpha", "cnet"]


class InputRequest(BaseModel):
    """The clip to detail."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    uri: str
    """Upload URI (`upload:<id>`), or `s3://bucket/prefix/` with numbered pictures that the farm may read."""
    frames: Annotated[str | None, Field(max_length=64, examples=["60-91"])] = None
    """First and last frame by number, `60-91`; all frames if left out. A video's frames are numbered from 1."""
    fps: Annotated[float | None, Field(gt=0, le=1000)] = None
    """Frames per second of the output video, for pictures (default 25)."""


class MotionLoraRequest(BaseModel):
    """A small change of the motion module: a camera's move."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: Name
    """Name or content hash of a motion LoRA that was added to the farm."""
    strength: Annotated[float, Field(ge=-10, le=10)] = 1.0
    """How much of it; below 0 the other way round."""


class JobRequest(BaseModel):
    """What a user submits."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(max_length=200)] = ""
    """For people; the clip's name if left out."""
    type: JobType = JobType.MASK
    """`mask`: each frame by itself. `animatediff`: a motion module sees neighboring frames. `detect`: nothing is
    repainted; what detectors find becomes a SEGS document."""
    input: InputRequest
    """The clip."""
    segments: Annotated[tuple[SegmentRequest, ...], Field(min_length=1, max_length=64)]
    """In the order in which they are pasted."""
    detailer: Detailer = Detailer()
    """Parameters for all segments; each segment may set its own."""
    overrides: Annotated[tuple[OverrideRequest, ...], Field(max_length=64)] = ()
    """Other parameters over ranges of frames. Of several over one frame, the last wins."""
    model: Name = "demo"
    """Name or content hash of a model that was added to the farm."""
    refiner: str | None = None
    """Model that runs the last `refiner_ratio` of the steps."""
    vae: str | None = None
    """VAE that takes the place of the model's own."""
    embeddings: Annotated[dict[str, str], Field(max_length=256)] = {}
    """Names that the prompts use (`embedding:name`) -> embeddings of the farm, where they differ."""
    motion: str | None = None
    """`animatediff` jobs: name or content hash of a motion module; the model's own if left out."""
    motion_loras: Annotated[tuple[MotionLoraRequest, ...], Field(max_length=16)] = ()
    """`animatediff` jobs: LoRAs of the motion module, added up."""
    batch_size: Annotated[int, Field(ge=1, le=100)] = 1
    """Variations: variation b starts from the input again, with `seed + b`."""
    chunk: ChunkLength | None = None
    """Frames per chunk, 1 to 4096: 16 for `mask` jobs; for `animatediff` 48, a multiple of `context_length -
    context_overlap`.
    `auto`: what suits speed and memory of the workers that are there when the job is submitted; kept for good."""
    batch_limit: Annotated[int, Field(ge=1, le=256)] = 16
    """Crops sampled in one call at the most (`mask` jobs)."""
    outputs: tuple[Output, ...] = ("video",)
    """What to keep besides the frames: `video`; per segment `cropped` (before), `cropped_refined` (after),
    `cropped_enhanced_alpha` (after, with the paste mask as alpha), `cnet` (what its ControlNets were shown)."""
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    """Larger runs first."""
    vram_gb: Annotated[float, Field(ge=0, le=1024)] = 0
    """GPU memory in GiB that the job needs; only workers with as much take it. 0: any device, also a CPU."""
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Tries of a task, each by another worker where there are several, before it counts as failed; lost workers do not
    count."""
    max_workers: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Workers that are at work on the job at the same time, at most. 0: any number."""
    approve_every: Annotated[int | None, Field(ge=2, le=100_000)] = None
    """Make every so manieth chunk first, then wait until somebody has looked and approves. Not set: do not wait."""
    notify: Annotated[tuple[str, ...], AfterValidator(check_addresses), Field(max_length=10)] = ()
    """Mail addresses that are told when the job has completed, failed, or waits for approval. Left out: the submitter's
    name, if it is an address."""
    webhook: WebhookRequest | None = None
    """Address that the job's events are sent to."""

    @model_validator(mode="after")
    def _names_differ(self) -> JobRequest:
        names = [segment.name for segment in self.segments]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"segment names must differ; given more than once: {', '.join(twice)}.")
        return self


class Control(ControlParameters):
    """A ControlNet of a source, complete."""

    model: ModelRef
    image: Media | None = None
    """Short form of its pictures; None: the preprocessor makes them."""


class ImagePrompt(ImagePromptParameters):
    """An IP-Adapter of a source, complete."""

    model: ModelRef
    image: Media
    """Short form of the reference pictures."""


class Conditioning(ConditioningParameters):
    """A further prompt of a source, complete."""

    mask: Media
    """Short form."""


class Source(BaseModel):
    """A source of segments, complete: nothing is left to defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SourceName
    kind: Literal["mask", "segs", "detect"]
    media: Media
    """Short form; the long one is `media/<id>.json` in the store. Of a detector: the clip that it searches."""
    detect: Detection | None = None
    """What is to be found, if its kind is `detect`."""
    detailer: Detailer
    loras: tuple[LoraRef, ...] = ()
    """Those of the detailer, by content."""
    embeddings: dict[str, ModelRef] = {}
    """Those that its prompts use, by the names that they use."""
    controls: tuple[Control, ...] = ()
    """Its ControlNets; one of strength 0 is left out."""
    image_prompts: tuple[ImagePrompt, ...] = ()
    """Its IP-Adapters; one of weight 0 is left out."""
    conditionings: tuple[Conditioning, ...] = ()
    """Its further prompts; one of strength 0 is left out."""

    @property
    def looks_at(self) -> tuple[tuple[str, Media], ...]:
        """Pictures besides its masks, each with what they are read as, `frame` or `mask`: a crop names its part of
        them in this order."""
        pictures = [("frame", control.image) for control in self.controls if control.image is not None]
        pictures += [("frame", prompt.image) for prompt in self.image_prompts]
        return (*pictures, *(("mask", conditioning.mask) for conditioning in self.conditionings))

    def with_values(self, values: Iterable[tuple[str, float | str]]) -> Source:
        """The same where parameters have these values, and no key frames."""
        changes = dict(values)
        if not changes:
            return self
        detailer = self.detailer.model_copy(update={**changes, "keyframes": None})
        return self.model_copy(update={"detailer": detailer})


class MotionLora(BaseModel):
    """A motion LoRA by its content, and how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelRef
    strength: float


class SourceRange(BaseModel):
    """A source over a range of frames for which an override gives it other parameters, complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    override: Annotated[int, Field(ge=0)]
    """Which of the job's overrides makes it so; those before it have acted too."""
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    """Positions in the clip, half-open."""
    source: Source


class Job(BaseModel):
    """A submission, validated and completed with defaults. Written once, to `jobs/<id>/job.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    id: str
    name: str
    type: JobType
    user: str = ""
    created: str
    """UTC, ISO 8601."""
    input: Media
    """Short form."""
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    """Positions in the clip, from 0, half-open: the frames to detail."""
    fps: tuple[int, int]
    sources: tuple[Source, ...]
    overrides: tuple[OverrideRequest, ...] = ()
    """As they were asked for."""
    ranges: tuple[SourceRange, ...] = ()
    """What the overrides make of the sources. Of several that cover a frame, the last counts."""
    model: ModelRef
    refiner: ModelRef | None = None
    vae: ModelRef | None = None
    motion: ModelRef | None = None
    """Motion module of an `animatediff` job; None: the model's own."""
    motion_loras: tuple[MotionLora, ...] = ()
    engine: str
    """Name and version of the engine that renders it: part of every key."""
    batch_size: int
    chunk: int
    batch_limit: int
    outputs: tuple[Output, ...]
    priority: int
    max_attempts: int
    max_workers: int = 0
    gpu_queue: str = "gpu.0"
    """Queue of the least GPU class that can run it."""
    warnings: tuple[str, ...] = ()
    approve_every: int | None = None
    notify: tuple[str, ...] = ()
    webhook: Webhook | None = None

    @property
    def frames(self) -> int:
        """Number of frames to detail."""
        return self.end - self.start

    @property
    def sequential(self) -> bool:
        """Whether segments are detailed one after the other, frame by frame: a hook keeps something between them."""
        return any(impure(source.detailer.hooks) for source in self.all_sources)

    @property
    def detects(self) -> bool:
        """Whether a detector is to look at the clip first."""
        return any(source.detect is not None for source in self.sources)

    @property
    def detect_queue(self) -> str:
        """Where detect tasks are offered: detectors need no GPU, a SAM has the torch that workers with one have."""
        shaped = any(source.detect is not None and source.detect.sam is not None for source in self.sources)
        return self.gpu_queue if shaped else CPU

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """The sources, and what overrides make of them."""
        return (*self.sources, *(one.source for one in self.ranges))

    @property
    def media(self) -> tuple[Media, ...]:
        """Short forms of all that it reads."""
        sources = self.all_sources
        looked_at = [media for source in sources for _, media in source.looks_at]
        return (self.input, *(source.media for source in sources), *looked_at)

    def source(self, name: str, piece: int = -1) -> Source:
        """The source called `name`, or what it is in the range number `piece`; KeyError if there is none."""
        if piece >= 0:
            return self.ranges[piece].source
        for source in self.sources:
            if source.name == name:
                return source
        raise KeyError(name)

    def number(self, position: int) -> int:
        """The frame number of a position in the clip (as the user counts; exact where numbers have no gaps)."""
        return self.input.first_number + position
