"""Detailer hooks as data: what changes a segment's way through the sampler, by name and with its parameters (SPEC 10).

A job carries them in the order in which they are applied. Filters act when a chunk is planned, all others where a crop
is sampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from farm.domain.sampling_names import SCHEDULERS, UnknownScheduler, gits_coefficient
from farm.errors import Rejected

MAX_SEED = 2**64 - 1
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Strength = Annotated[float, Field(ge=0, le=200)]
ScheduleForCycle = Literal["skip_start", "from_start"]
Target = Literal["area", "width", "height", "x1", "y1", "x2", "y2", "confidence"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NoiseInjection(_Spec):
    """Adds noise to the latents before a cycle, in proportion; the sampler's own noise comes on top of it."""

    kind: Literal["noise_injection"] = "noise_injection"
    seed: Seed = 0
    """Of the noise; each cycle adds 2 to it. The same for every segment."""
    start_strength: Strength = 2.0
    """Multiplies unit noise in the first cycle, in units of the encoder's latents."""
    end_strength: Strength = 1.0
    """The same in the last cycle; linear between."""
    schedule_for_cycle: ScheduleForCycle = "skip_start"
    """`skip_start` leaves the first cycle alone."""


class VariationNoise(_Spec):
    """Mixes the noise of another seed into that of each sampling, keeping its variance."""

    kind: Literal["variation_noise"] = "variation_noise"
    variation_seed: Seed = 0
    """Of the other noise, the same in all cycles."""
    variation_strength: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0: the seed's own noise alone; 1: the other alone."""


class Unsampler(_Spec):
    """Runs the sampler backwards before a cycle: noise that fits the picture, up to a level of the schedule."""

    kind: Literal["unsampler"] = "unsampler"
    steps: Annotated[int, Field(ge=1, le=10_000)] = 25
    """Of the schedule that is run backwards."""
    start_end_at_step: Annotated[int, Field(ge=0, le=10_000)] = 21
    """Step of the schedule, counted from its noisy end, up to which it goes back in the first cycle."""
    end_end_at_step: Annotated[int, Field(ge=0, le=10_000)] = 24
    """The same in the last cycle; linear between, cut off to whole steps."""
    cfg: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Weight of the prompt on the way back."""
    sampler_name: Literal["euler", "ddim", "heun", "dpm_2", "dpmpp_2m"] = "euler"
    """A sampler without noise of its own."""
    scheduler: Annotated[str, Field(max_length=64)] = "normal"
    """Noise schedule, by ComfyUI's name."""
    normalize: bool = False
    """Bring what comes out to mean 0 and deviation 1, crop by crop."""
    schedule_for_cycle: ScheduleForCycle = "skip_start"
    """`skip_start` leaves the first cycle alone."""


class DenoiseSchedule(_Spec):
    """`denoise` goes linearly to a target from the first cycle to the last; without effect if there is only one."""

    kind: Literal["denoise_schedule"] = "denoise_schedule"
    target_denoise: Annotated[float, Field(ge=0.0001, le=1)] = 0.2
    """`denoise` of the last cycle."""


class CfgSchedule(_Spec):
    """`cfg` goes linearly to a target from the first cycle to the last; without effect if there is only one."""

    kind: Literal["cfg_schedule"] = "cfg_schedule"
    target_cfg: Annotated[float, Field(ge=0, le=100)] = 3.0
    """`cfg` of the last cycle."""


class StepsSchedule(_Spec):
    """`steps` goes linearly to a target from the first cycle to the last, cut off to whole steps."""

    kind: Literal["steps_schedule"] = "steps_schedule"
    target_steps: Annotated[int, Field(ge=1, le=10_000)] = 20
    """`steps` of the last cycle."""


class Preview(_Spec):
    """Writes each crop with its patch pasted as `preview/<frame>_<source>_<segment>.webp`, as soon as it is made.

    Changes no pixel. What an earlier job has rendered already is not shown again.
    """

    kind: Literal["preview"] = "preview"
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """Of the WebP file."""


class LabelFilter(_Spec):
    """Keeps segments by their label."""

    kind: Literal["label_filter"] = "label_filter"
    labels: Annotated[str, Field(max_length=2000)]
    """Separated by commas; `all` keeps everything; `eyes`, `eyebrows` and `pupils` stand for left and right."""


class OrderedFilter(_Spec):
    """Sorts segments and keeps a run of them."""

    kind: Literal["ordered_filter"] = "ordered_filter"
    target: Target = "area"
    """What they are sorted by: the confidence, or a size or corner of the crop region."""
    order: Literal["descending", "ascending"] = "descending"
    take_start: Annotated[int, Field(ge=0)] = 0
    """Place of the first that is kept, from 0."""
    take_count: Annotated[int, Field(ge=0)] = 1
    """How many are kept."""


class RangeFilter(_Spec):
    """Keeps segments whose value lies in a range."""

    kind: Literal["range_filter"] = "range_filter"
    target: Target | Literal["length_percent"] = "area"
    """As in `ordered_filter`, with the confidence in percent; `length_percent`: 100 x longer over shorter side."""
    mode: Literal["inside", "outside"] = "inside"
    """Which are kept."""
    min_value: Annotated[float, Field(ge=0)] = 0
    """Lower bound; it belongs to the range."""
    max_value: Annotated[float, Field(ge=0)] = 67_108_864
    """Upper bound; it belongs to the range."""


class PluginHook(_Spec):
    """A hook of an installed package, found by its name among the entry points `farm.hooks`."""

    kind: Literal["plugin"] = "plugin"
    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Of the entry point."""
    parameters: dict[str, JsonValue] = {}
    """Handed to the package as they are."""
    pure: bool | None = None
    """What the package says of itself, filled in at submit: a pure hook sees one segment of one frame and keeps
    nothing. One that is not makes its job run in sequence."""
    version: str | None = None
    """Of the hook, as the package says, filled in at submit: workers with another refuse the task."""


Hook = Annotated[
    NoiseInjection
    | VariationNoise
    | Unsampler
    | DenoiseSchedule
    | CfgSchedule
    | StepsSchedule
    | Preview
    | LabelFilter
    | OrderedFilter
    | RangeFilter
    | PluginHook,
    Field(discriminator="kind"),
]
KINDS: tuple[type[BaseModel], ...] = (
    NoiseInjection,
    VariationNoise,
    Unsampler,
    DenoiseSchedule,
    CfgSchedule,
    StepsSchedule,
    Preview,
    LabelFilter,
    OrderedFilter,
    RangeFilter,
    PluginHook,
)
"""All of them, for pages that list them."""
Hooks = Annotated[tuple[Hook, ...], Field(max_length=16)]
Filter = LabelFilter | OrderedFilter | RangeFilter

NOT_IN_PIXELS = (LabelFilter, OrderedFilter, RangeFilter, Preview)
"""Hooks that reach a patch through its region and seed only, or not at all."""


def filters(hooks: tuple[Hook, ...]) -> list[Filter]:
    """The hooks that act when a chunk is planned, in order."""
    return [hook for hook in hooks if isinstance(hook, LabelFilter | OrderedFilter | RangeFilter)]


def plugins(hooks: tuple[Hook, ...]) -> list[PluginHook]:
    """The hooks of installed packages, in order."""
    return [hook for hook in hooks if isinstance(hook, PluginHook)]


def impure(hooks: tuple[Hook, ...]) -> bool:
    """Whether one of them keeps something from segment to segment, or changes pixels outside of its own."""
    return any(not hook.pure for hook in plugins(hooks))


def key_part(hooks: tuple[Hook, ...]) -> list[dict[str, Any]]:
    """What of the hooks decides pixels, for content keys."""
    return [hook.model_dump(mode="json") for hook in hooks if not isinstance(hook, NOT_IN_PIXELS)]


@dataclass(frozen=True)
class HookFacts:
    """What an installed package says of its hook."""

    pure: bool
    version: str


def complete(hooks: tuple[Hook, ...], find: Callable[[str], HookFacts]) -> tuple[Hook, ...]:
    """The hooks with what installed packages say of theirs.

    Args:
        find: a package's hook by name; raises NotFound with those that there are.
    Raises:
        NotFound, UnknownScheduler.
        Rejected: what the job says of a hook is not what its package says.
    """
    return tuple(_completed(hook, find) for hook in hooks)


def _completed(hook: Hook, find: Callable[[str], HookFacts]) -> Hook:
    if isinstance(hook, Unsampler) and hook.scheduler not in SCHEDULERS and gits_coefficient(hook.scheduler) is None:
        raise UnknownScheduler(hook.scheduler)
    if not isinstance(hook, PluginHook):
        return hook
    facts = find(hook.name)
    for name, said, found in (("pure", hook.pure, facts.pure), ("version", hook.version, facts.version)):
        if said not in (None, found):
            raise Rejected(
                f"The job says that the hook {hook.name!r} has {name} {said!r}; the package that is installed says "
                f"{found!r}. Leave `{name}` out, or install the other version."
            )
    return hook.model_copy(update={"pure": facts.pure, "version": facts.version})
