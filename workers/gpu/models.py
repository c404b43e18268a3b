"""Models that are ready to run, kept in memory while they are used."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import MotionAdapter, UNetMotionModel
from diffusers.utils import logging as diffusers_logging
from pydantic import ValidationError
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from farm.domain.model import Family
from farm.errors import OutOfMemory
from workers.gpu.batch import LoraFile
from workers.gpu.conditioning import TextEncoder
from workers.gpu.controlnets import control_shape
from workers.gpu.denoiser import Network, Prediction
from workers.gpu.faults import BadModel, memory_errors
from workers.gpu.image_prompts import Adapters
from workers.gpu.lora import Overlay
from workers.gpu.networks import Extra, motion_network, norm_per_frame, still_network
from workers.gpu.parts import FarmFile as FarmFile
from workers.gpu.parts import read_part, read_parts, read_vae
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.vae import Codec

MODELS_IN_MEMORY = 2
"""Models that a worker holds: the one at work and its refiner, or the one before."""
MOTION_FOLDER = "motion_adapter"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Model:
    """A model that is ready to run."""

    network: Network
    table: SigmaTable
    prediction: Prediction
    codec: Codec
    text: TextEncoder
    latent_channels: int
    takes_concat: bool
    """The UNet wants a mask and a masked picture besides the latents: an inpaint model."""
    longest_context: int | None
    """Frames that the motion module sees at the most; None: there is none, frames do not see each other."""
    extended: Callable[[Extra], Network]
    """The network, called with further arguments of the UNet."""
    control_shape: tuple[object, ...]
    """What a ControlNet must have in common with the UNet."""
    family: Family
    wants_vector: bool
    """The UNet is told the text as a whole and sizes besides (SDXL)."""
    overlay: Overlay
    """What is laid over the weights."""
    unet: Any
    adapters: Adapters | None = None
    """IP-Adapters that the UNet was loaded with; then it wants pictures in every call."""

    def lay(self, loras: Sequence[LoraFile]) -> None:
        """Have these LoRAs over the weights, and no others. Raises BadModel."""
        if self.overlay.lay(tuple(loras)):
            self.text.forget()


class ModelCache:
    """Models by folder; the least recently used leaves when there is no room."""

    def __init__(self, device: torch.device, dtype: torch.dtype, room: int = MODELS_IN_MEMORY) -> None:
        self._device = device
        self._dtype = dtype
        self._room = room
        self._models: OrderedDict[tuple[object, ...], Model] = OrderedDict()
        self._vaes: OrderedDict[tuple[object, ...], Codec] = OrderedDict()
        # A worker's output is a log, not a terminal: no bars, no advice for people who type at one.
        for library in (diffusers_logging, transformers_logging):
            library.set_verbosity_error()
            library.disable_progress_bar()

    def get(self, folder: Path, motion: bool, adapters: tuple[Path, ...] = (), apart: bool = False) -> Model:
        """The model in `folder`, loaded if it is not in memory or its files have changed.

        Args:
            motion: with the motion module, if the folder has one.
            adapters: folders of IP-Adapters to load it with.
            apart: not the one that other calls are given, but one of its own, whose weights can differ.
        Raises:
            BadModel: with what is wrong with the folder.
            OutOfMemory.
        """
        motion = motion and (folder / MOTION_FOLDER).is_dir()
        key = (apart, motion, *_fingerprint(folder), *(_fingerprint(adapter) for adapter in adapters))
        return self._kept(
            self._models, key, folder, lambda: load_model(folder, motion, self._device, self._dtype, adapters)
        )

    def vae(self, folder: Path) -> Codec:
        """The VAE in `folder`, in place of a model's own. Raises as `get`."""
        return self._kept(
            self._vaes, _fingerprint(folder), folder, lambda: Codec(read_vae(folder), self._device, self._dtype)
        )

    def _kept(
        self, kept: OrderedDict[tuple[object, ...], _T], key: tuple[object, ...], folder: Path, load: Callable[[], _T]
    ) -> _T:
        if key not in kept:
            while len(kept) >= self._room:
                kept.popitem(last=False)
            kept[key] = self._loaded(folder, load)
        kept.move_to_end(key)
        return kept[key]

    def _loaded(self, folder: Path, load: Callable[[], _T]) -> _T:
        with _load_errors(folder):
            try:
                with memory_errors(f"load the model {folder.name}"):
                    return load()
            except OutOfMemory:
                if not self._models and not self._vaes:
                    raise
            # The models of other jobs make room.
            self._models.clear()
            self._vaes.clear()
            torch.cuda.empty_cache()
            with memory_errors(f"load the model {folder.name}"):
                return load()


def load_model(
    folder: Path, motion: bool, device: torch.device, dtype: torch.dtype, adapters: tuple[Path, ...] = ()
) -> Model:
    """Reads a folder; safetensors only, nothing but local files."""
    parts = read_parts(folder, dtype)
    unet, channels = parts.unet, int(parts.vae.config.latent_channels)
    takes_concat = unet.config.in_channels > channels
    wants_vector = unet.config.addition_embed_type is not None
    original_motion = motion and parts.about.motion_norm == "per_frame"
    longest: int | None = None
    shape = control_shape(unet.config)
    if motion:
        adapter = read_part(MotionAdapter, folder / MOTION_FOLDER, dtype)
        unet = UNetMotionModel.from_unet2d(unet, adapter)
        longest = int(adapter.config.motion_max_seq_length)
    if original_motion:
        norm_per_frame(unet)
    laid = Adapters(unet, adapters, device, dtype) if adapters else None
    unet = unet.to(device).eval().requires_grad_(False)
    for clip in parts.clips:
        clip.encoder.to(device).eval().requires_grad_(False)
    codec = Codec(parts.vae, device, dtype)
    as_network = motion_network if motion else still_network
    return Model(
        network=as_network(unet, factor=codec.factor),
        table=SigmaTable(betas_of(parts.scheduler, linear=original_motion)),
        prediction=_prediction(parts.scheduler),
        codec=codec,
        text=TextEncoder(parts.clips),
        latent_channels=channels,
        takes_concat=takes_concat,
        longest_context=longest,
        extended=lambda extra: as_network(unet, extra, codec.factor),
        family=parts.family,
        wants_vector=wants_vector,
        overlay=Overlay(unet, [clip.encoder for clip in parts.clips]),
        control_shape=shape,
        unet=unet,
        adapters=laid,
    )


def _prediction(scheduler: dict[str, Any]) -> Prediction:
    kind = scheduler.get("prediction_type", "epsilon")
    if kind == "epsilon":
        return "epsilon"
    if kind == "v_prediction":
        return "v_prediction"
    raise BadModel(f"its scheduler predicts {kind!r}", "use a model that predicts `epsilon` or `v_prediction`")


def _fingerprint(folder: Path) -> tuple[object, ...]:
    """Changes when the folder's files do."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    stats = [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return (str(folder.resolve()), *stats)


@contextmanager
def _load_errors(folder: Path) -> Iterator[None]:
    """What the libraries raise about a folder, in words for people."""
    try:
        yield
    except (OSError, SafetensorError, ValidationError, json.JSONDecodeError, KeyError, ValueError) as error:
        fault = f"its folder {folder.name!r} cannot be read: {error}"
        raise BadModel(fault, "repair the folder and add it again") from error
