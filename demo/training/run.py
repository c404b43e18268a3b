"""A run: the stages of a preset, one after the other, each on what those before it learnt."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from demo.training.autoencoder import AutoencoderStage, DecoderStage
from demo.training.denoiser import DenoiserStage
from demo.training.latents import keep_latents
from demo.training.loop import Budget, Stage, State, train
from demo.training.motion import MotionStage
from demo.training.networks import Networks, build, weights_path
from demo.training.presets import PRESETS, Preset, StageName
from demo.training.tiles import Tiles, load_tiles
from farm.errors import Rejected

Ready = Callable[[Budget], State]

PRESET_FILE = "preset.json"
"""Which preset a folder was trained with."""


class OtherPreset(Rejected):
    """A folder holds another preset's run."""

    def __init__(self, work: Path, seen: str, wanted: str) -> None:
        super().__init__(
            f"{work} holds a run of the preset {seen!r}, not of {wanted!r}. Name another folder with --work, or run "
            f"with --preset {seen}."
        )


class NoSuchStage(Rejected):
    """A stage that the preset does not have."""

    def __init__(self, stage: StageName, preset: str, has: Sequence[StageName]) -> None:
        super().__init__(f"The preset {preset!r} has no stage {stage!r}; it has: {', '.join(has)}.")


@dataclass(frozen=True)
class Where:
    """What a run works on."""

    preset: str
    work: Path
    device: torch.device

    @property
    def sizes(self) -> Preset:
        """The preset itself."""
        return PRESETS[self.preset]


def claim(where: Where) -> None:
    """Note in the folder which preset runs there.

    Raises:
        OtherPreset: it was another one.
    """
    where.work.mkdir(parents=True, exist_ok=True)
    path = where.work / PRESET_FILE
    if path.is_file() and (seen := json.loads(path.read_text())) != where.preset:
        raise OtherPreset(where.work, seen, where.preset)
    path.write_text(json.dumps(where.preset))


def wanted_stages(where: Where, only: Sequence[StageName]) -> list[StageName]:
    """Stages to run: those named, or all that have not ended."""
    has = list(where.sizes.paces)
    for stage in only:
        if stage not in has:
            raise NoSuchStage(stage, where.preset, has)
    return [stage for stage in has if stage in only] or [
        stage for stage in has if not only and not weights_path(where.work, stage).is_file()
    ]


def prepared(where: Where, name: StageName, told: Callable[[str, float], None]) -> Ready:
    """A stage, ready to run: networks as the stages before it left them, pictures, and what it must compute first.

    Args:
        told: called with what is being prepared, and the part of it that is done.
    Returns:
        Call it with when the stage is to end: it runs, on from its checkpoint if there is one.
    Raises:
        NoPictures: `prepare` was not run.   OtherPreset: the folder holds another preset's run.
    """
    claim(where)
    torch.manual_seed(list(StageName).index(name))
    tiles = load_tiles(where.work)
    captions = tuple(sorted(set(tiles.words)))
    # A stage that is run again starts from those before it, not from its own outcome.
    weights_path(where.work, name).unlink(missing_ok=True)
    networks = build(where.sizes, where.work, captions, where.device)
    stage = _stage(where, name, networks, tiles, told)
    return lambda budget: train(stage, where.sizes.paces[name], budget, where.work)


def _stage(
    where: Where, name: StageName, networks: Networks, tiles: Tiles, told: Callable[[str, float], None]
) -> Stage:
    preset, device = where.sizes, where.device
    if name is StageName.AUTOENCODER:
        return AutoencoderStage(networks, tiles, preset, device)
    latents = keep_latents(networks, tiles, where.work, device, lambda part: told("latents of all tiles", part))
    if name is StageName.DENOISER:
        return DenoiserStage(networks, latents, tiles.words, preset, device)
    if name is StageName.DECODER:
        return DecoderStage(
            networks, tiles, latents, preset, device, lambda part: told("crops for the decoder, restored", part)
        )
    return MotionStage(networks, tiles, preset, device, latents.spread)
