"""The parameters of the two nodes, by Impact Pack's names, with unit and range."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from farm.domain.hooks import MAX_SEED as MAX_SEED
from farm.domain.hooks import Hooks, Seed
from farm.domain.keyframes import Keyframes, folded, laid_over
from farm.domain.model import MAX_LORAS, LoraUse

MAX_RESOLUTION = 16384
"""Pixels; ComfyUI's largest side."""


class JobType(StrEnum):
    """What sees what: `mask` repaints each frame by itself, `animatediff` lets a motion module see neighbors, `detect`
    repaints nothing: its detectors' findings are its output."""

    MASK = "mask"
    ANIMATEDIFF = "animatediff"
    DETECT = "detect"


REPAINTING = (JobType.MASK, JobType.ANIMATEDIFF)
"""Those that make frames."""


class Detailer(BaseModel):
    """How a segment is cut, repainted and laid back. Defaults are the nodes' own (SPEC 1.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)

    prompt: Annotated[str, Field(max_length=20_000)] = ""
    """What to draw."""
    negative: Annotated[str, Field(max_length=20_000)] = ""
    """What to keep away from; without effect at `cfg` 1."""
    wildcard: Annotated[str, Field(max_length=20_000)] = ""
    """A text per segment, in place of `prompt` or, with [CONCAT], besides it: [ASC] left one [SEP] right one; words in
    brackets as in Impact Pack: ASC, DSC, ASC-SIZE, DSC-SIZE, RND, LAB, SEP, SKIP, STOP; {a|b} chooses."""
    clip_skip: Annotated[int | None, Field(ge=-24, le=-1)] = None
    """Layer of the text encoder that is taken, from the end: -1 the last, -2 the one before. Left out: the layer that
    the kind of model was trained with (-1 for SD 1.x, else -2)."""
    loras: Annotated[tuple[LoraUse, ...], Field(max_length=MAX_LORAS)] = ()
    """LoRAs over the model, in order: `name:weight:clip_weight`, weights 1 if left out. Not over the refiner."""

    guide_size: Annotated[float, Field(ge=64, le=MAX_RESOLUTION)] = 384
    """Pixels to which the shorter side is scaled up before sampling."""
    guide_size_for: bool = True
    """True: `guide_size` is meant for the bbox; False: for the crop region."""
    max_size: Annotated[float, Field(ge=64, le=MAX_RESOLUTION)] = 1024
    """Pixels; the longer side of an enlarged crop. No hard limit unless `max_size_hard`."""
    max_size_hard: bool = False
    """Scale a crop that is larger than `max_size` down, instead of sampling it at its own size."""
    size_multiple: Annotated[int, Field(ge=1, le=512)] = 1
    """Pixels; sampling sizes are rounded to it. 1: as the node does. 8 or 64 keeps masks registered, makes batches."""
    mask_mode: bool = True
    """True: only the mask is repainted; False: the whole crop is (the paste uses the mask either way)."""

    seed: Seed = 0
    """Of the noise. In `mask` jobs a frame's next segment takes the next number."""
    seed_mode: Literal["fixed", "per_frame"] = "fixed"
    """`mask` jobs: the same seed for every frame, or `seed + frame`."""
    steps: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Sampler steps."""
    cfg: Annotated[float, Field(ge=0, le=100)] = 8.0
    """Weight of the prompt against the negative prompt; 1: the negative prompt is not looked at, half the work."""
    sampler_name: Annotated[str, Field(max_length=64)] = "euler"
    """Sampler, by ComfyUI's name."""
    scheduler: Annotated[str, Field(max_length=64)] = "normal"
    """Noise schedule, by ComfyUI's name."""
    denoise: Annotated[float, Field(ge=0.0001, le=1)] = 0.5
    """Share of the noise schedule that is run, from its quiet end. All `steps` run, whatever `denoise` is:
    as in ComfyUI, unlike diffusers, where `strength` also cuts the number of steps."""
    feather: Annotated[int, Field(ge=0, le=100)] = 5
    """Pixels by which the paste mask is blurred."""
    noise_mask_feather: Annotated[int, Field(ge=0, le=100)] = 20
    """Pixels by which the latent mask is blurred; above 0 differential diffusion is on. `animatediff` jobs: 0."""
    crop_factor: Annotated[float, Field(ge=1, le=100)] = 3.0
    """Crop region over bbox, per side."""
    follow: bool = False
    """`animatediff` jobs with a mask per frame: the crop goes with the mask, smoothly and at one size, as large as the
    mask's largest frame asks for. Off: one region for all of the motion, as the node does. (In `mask` jobs each frame
    has a crop of its own anyway.)"""
    drop_size: Annotated[int, Field(ge=1, le=MAX_RESOLUTION)] = 10
    """Pixels; a segment is kept if both sides of its bbox are larger."""
    bbox_fill: bool = False
    """Repaint the whole bbox instead of the mask in it."""
    contour_fill: bool = True
    """Areas of the mask are filled up to their outlines: holes in them are repainted too."""
    cycle: Annotated[int, Field(ge=1, le=10)] = 1
    """Times that a crop is sampled, each on the result of the one before."""
    refiner_ratio: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the steps that the refiner model runs, if the job has one."""
    inpaint_model: bool = False
    """The model was made for inpainting: it is shown the masked picture."""

    noise: Literal["independent", "shared"] = "independent"
    """`animatediff` jobs: each frame its own noise, or the noise of frame 0 for all (no flicker of its own)."""
    sampling_route: Literal["ksampler", "impact"] = "ksampler"
    """Whose step arithmetic: `ksampler`, as the nodes were first written, or `impact`, that of today's Impact Pack."""
    context_length: Annotated[int, Field(ge=1, le=128)] = 16
    """Frames that the motion module sees at once."""
    context_overlap: Annotated[int, Field(ge=0, le=127)] = 4
    """Frames that neighboring windows share."""
    context_fuse: Literal["flat", "pyramid", "relative", "overlap-linear"] = "pyramid"
    """How windows are averaged where they overlap: evenly; by distance from a window's nearer end, or from its middle;
    or with ramps over the overlap."""
    context_schedule: Literal["standard_static", "standard_uniform", "looped_uniform"] = "standard_static"
    """Where windows lie: at the same places in every step, or at others in each (`uniform`), and then also over the
    clip's end into its beginning (`looped`). With the last two a clip is sampled whole, by one worker."""
    context_stride: Annotated[int, Field(ge=1, le=32)] = 1
    """Uniform schedules: besides windows of neighboring frames, those of every 2nd, 4th, ... frame; so many kinds."""
    closed_loop: bool = False
    """`looped_uniform`: the clip's end goes over into its beginning, for clips that are played in a loop."""
    hooks: Hooks = ()
    """Detailer hooks, applied in this order: JSON, such as [{"kind": "denoise_schedule", "target_denoise": 0.2}]."""
    keyframes: Keyframes | None = None
    """`denoise`, `cfg` and `prompt` by frame number, linear between: JSON, such as {"denoise": [[1, 0.3], [120, 0.6]]}.
    The same may be given as a parameter's value: {"keyframes": [[1, 0.3], [120, 0.6]]}."""

    @model_validator(mode="before")
    @classmethod
    def _keyframes_folded(cls, given: Any) -> Any:  # noqa: ANN401 - whatever a user gives
        return folded(given) if isinstance(given, dict) else given


TYPE_DEFAULTS: dict[JobType, dict[str, object]] = {
    JobType.MASK: {},
    JobType.ANIMATEDIFF: {"noise_mask_feather": 0},
    JobType.DETECT: {},
}
"""Where the two nodes' defaults differ."""


def merged(job_type: JobType, *layers: Detailer) -> Detailer:
    """The node's defaults, overlaid by what each layer sets itself, the last layer winning. Raises Rejected."""
    values: dict[str, object] = dict(TYPE_DEFAULTS[job_type])
    for layer in layers:
        own = {name: getattr(layer, name) for name in layer.model_fields_set if name in Detailer.model_fields}
        values = laid_over(values, own)
    return Detailer.model_validate(values)
