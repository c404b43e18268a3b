"""What a segment brings along beside its mask: hooks, texts, ControlNets, further prompts. Completed and checked at
submit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farm.domain import wildcards
from farm.domain.control import (
    ConditioningParameters,
    ConditioningRequest,
    ControlRequest,
    ImagePromptParameters,
    ImagePromptRequest,
    PluginPreprocessor,
    Preprocessor,
)
from farm.domain.hooks import HookFacts, complete
from farm.domain.job import Conditioning, Control, ImagePrompt, Source
from farm.domain.media import Media
from farm.domain.model import ModelRef
from farm.domain.segment_request import SegmentRequest
from farm.errors import NotFound, Rejected


def no_hook(name: str) -> HookFacts:
    """Of a farm without packages. Raises NotFound."""
    raise NotFound(f"There is no hook {name!r} on this farm: none is installed.")


def no_preprocessor(name: str) -> str:
    """Of a farm without packages. Raises NotFound."""
    raise NotFound(f"There is no preprocessor {name!r} on this farm; it has: none, canny.")


@dataclass(frozen=True)
class Packages:
    """What installed packages add to the farm; each raises NotFound with what there is."""

    hook: Callable[[str], HookFacts] = no_hook
    preprocessor: Callable[[str], str] = no_preprocessor
    """Its version."""


@dataclass(frozen=True)
class Lookup:
    """Where attachments are looked up; each raises NotFound with what there is."""

    media: Callable[[str], Media]
    controlnet: Callable[[str], ModelRef]
    ip_adapter: Callable[[str], ModelRef]
    packages: Packages = Packages()


def attached(source: Source, segment: SegmentRequest, clip: Media, span: tuple[int, int], lookup: Lookup) -> Source:
    """The source with all that its segment brings along.

    Args:
        span: positions of the job's frames in the clip, half-open.
    Raises:
        Rejected: what cannot be drawn; the text says what was seen, needed, and what to change.
    """
    wildcards.check(source.name, source.detailer.wildcard)
    hooks = complete(source.detailer.hooks, lookup.packages.hook)
    controls = tuple(
        _control(source.name, control, clip, span, lookup) for control in segment.controlnets if control.strength > 0
    )
    conditionings = tuple(
        _conditioning(source.name, one, clip, span, lookup) for one in segment.conditionings if one.strength > 0
    )
    detailer = source.detailer.model_copy(update={"hooks": hooks})
    prompts = tuple(
        _image_prompt(source.name, one, clip, span, lookup) for one in segment.image_prompts if one.weight != 0
    )
    return source.model_copy(
        update={
            "detailer": detailer,
            "controls": controls,
            "image_prompts": prompts,
            "conditionings": conditionings,
        }
    )


def check_count(what: str, media: Media, clip: Media, frames: int) -> None:
    """Refuses pictures of which it cannot be said which belongs to which frame."""
    if media.kind == "segs":
        raise Rejected(f"{what}: {media.name!r} is a SEGS document; give a picture, pictures or a video.")
    if media.frames in {1, clip.frames, frames}:
        return
    wanted = f"{clip.frames} (one per frame of the clip)"
    if frames != clip.frames:
        wanted += f" or {frames} (one per frame of the range)"
    raise Rejected(
        f"{what}: {media.name!r} has {media.frames} frames; it needs 1 (for all frames) or {wanted}. "
        f"Add or remove frames, or change the job's `frames`."
    )


def _control(name: str, asked: ControlRequest, clip: Media, span: tuple[int, int], lookup: Lookup) -> Control:
    image: Media | None = None
    if asked.image is not None:
        found = lookup.media(asked.image)
        check_count(f"Segment {name!r}, ControlNet {asked.model!r}", found, clip, span[1] - span[0])
        image = found.brief()
    return Control(
        strength=asked.strength,
        start_percent=asked.start_percent,
        end_percent=asked.end_percent,
        preprocessor=_preprocessor(asked.preprocessor, lookup),
        model=lookup.controlnet(asked.model),
        image=image,
    )


def _image_prompt(
    name: str, asked: ImagePromptRequest, clip: Media, span: tuple[int, int], lookup: Lookup
) -> ImagePrompt:
    image = lookup.media(asked.image)
    check_count(f"Segment {name!r}, IP-Adapter {asked.model!r}", image, clip, span[1] - span[0])
    parameters = {field: getattr(asked, field) for field in ImagePromptParameters.model_fields}
    return ImagePrompt(model=lookup.ip_adapter(asked.model), image=image.brief(), **parameters)


def _conditioning(
    name: str, asked: ConditioningRequest, clip: Media, span: tuple[int, int], lookup: Lookup
) -> Conditioning:
    mask = lookup.media(asked.mask)
    check_count(f"Segment {name!r}, conditioning {asked.prompt[:40]!r}", mask, clip, span[1] - span[0])
    parameters = {field: getattr(asked, field) for field in ConditioningParameters.model_fields}
    return Conditioning(mask=mask.brief(), **parameters)


def _preprocessor(asked: Preprocessor, lookup: Lookup) -> Preprocessor:
    if not isinstance(asked, PluginPreprocessor):
        return asked
    version = lookup.packages.preprocessor(asked.name)
    if asked.version not in (None, version):
        raise Rejected(
            f"The job says that the preprocessor {asked.name!r} has version {asked.version!r}; {version!r} is "
            f"installed. Leave `version` out, or install the other one."
        )
    return asked.model_copy(update={"version": version})
