"""What an engine is given: the crops of one detail task, with all that decides their pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.detail.enhance import CropInput, Prepared
from farm.detail.hooks import DetailerHook
from farm.domain.detailer import Detailer, JobType

OnStep = Callable[[int, int], None]
"""Called after each sampler step of the batch with the step's number, from 1, and the number of all steps, cycles
included. What it raises (the job was canceled, the lease was lost) passes through the engine untouched."""


@dataclass(frozen=True)
class ControlUse:
    """A ControlNet and how it acts; what it is shown is in the crops."""

    model: Path
    """Folder of the ControlNet, in diffusers' layout."""
    strength: float
    start_percent: float
    end_percent: float
    """Shares of the model's noise levels, from the noisiest, between which it acts."""


@dataclass(frozen=True)
class ImagePromptUse:
    """An IP-Adapter and how it acts; what it is shown is in the crops."""

    model: Path
    """Folder with the adapter's file and its image encoder."""
    weight: float
    start_percent: float
    end_percent: float
    """As of a ControlNet."""


@dataclass(frozen=True)
class ConditioningUse:
    """A further prompt; where it counts is in the crops."""

    prompt: str
    strength: float
    negative: bool = False


@dataclass(frozen=True)
class LoraFile:
    """A LoRA to be laid over a model."""

    path: Path
    """The file, or its folder in the cache."""
    weight: float
    """Strength over the UNet."""
    clip_weight: float
    """Strength over the text encoders."""
    name: str = ""
    """For messages."""


@dataclass(frozen=True)
class Motion:
    """The motion module that a model runs with."""

    module: Path | None = None
    """Folder or file of a motion module; None: the model folder's own."""
    loras: tuple[tuple[Path, float], ...] = ()
    """Motion LoRAs with their strengths, in the order in which they are added."""


@dataclass(frozen=True)
class Batch:
    """Crops that are sampled together: one call of the engine."""

    job_type: JobType
    detailer: Detailer
    crops: tuple[CropInput, ...]
    """In `animatediff` jobs the frames of one segment, in order of time; in `mask` jobs they do not see each other.
    All crops of a batch are sampled at the same size, with the same prompt."""
    model: Path
    """Folder of the model: in diffusers' layout, or with a single file."""
    refiner: Path | None
    """Folder of the model that runs the last `refiner_ratio` of the steps."""
    clip_frames: int
    """Frames of the whole clip: how many rows the clip's noise has."""
    plugins: tuple[DetailerHook[Any], ...] = ()
    """Objects for the hooks of installed packages, in the order of `detailer.hooks`."""
    controls: tuple[ControlUse, ...] = ()
    """In the order of the crops' `controls`."""
    image_prompts: tuple[ImagePromptUse, ...] = ()
    """In the order of the crops' `references`."""
    conditionings: tuple[ConditioningUse, ...] = ()
    """In the order of the crops' `conditionings`."""
    vae: Path | None = None
    """Folder of a VAE in place of the model's own."""
    loras: tuple[LoraFile, ...] = ()
    """Over the model, in order; not over the refiner."""
    embeddings: Mapping[str, Path] = field(default_factory=dict)
    """Files by the names that the prompts use."""
    motion: Motion = Motion()
    """`animatediff` jobs: what lets frames see each other."""
    prepared: Prepared | None = None
    """The crops at their sampling size, where `Engine.prepare` has made them so before."""
    rungs: list[str] = field(default_factory=list)
    """What the engine had to do otherwise for want of memory, where it changes pixels; the engine writes it here, and
    whoever stores the patches marks them with it."""

    @property
    def prompt(self) -> tuple[str, ...]:
        """Texts whose conditionings are laid one behind the other, the same for all crops."""
        return self.crops[0].prompt or (self.detailer.prompt,)

    @property
    def prompts(self) -> tuple[tuple[tuple[str, ...], float], ...]:
        """All that it is told, and how much each counts; the sum is 1. Two where one prompt fades into another."""
        crop = self.crops[0]
        return ((self.prompt, 1 - crop.share), (crop.toward, crop.share)) if crop.share else ((self.prompt, 1.0),)
