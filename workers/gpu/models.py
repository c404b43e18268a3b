"""Models that are ready to run, kept in memory while they are used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.utils import logging as diffusers_logging
from pydantic import ValidationError
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from farm.domain.model import Family
from farm.errors import OutOfMemory
from workers.gpu.batch import LoraFile, Motion
from workers.gpu.compiled import Compiled, compile_on_gpu
from workers.gpu.conditioning import TextEncoder
from workers.gpu.controlnets import control_shape
from workers.gpu.denoiser import Network, Prediction
from workers.gpu.faults import BadModel, memory_errors
from workers.gpu.fitting import Fitting, Meter
from workers.gpu.image_prompts import Adapters
from workers.gpu.lora import Overlay
from workers.gpu.lru import ByteLru
from workers.gpu.motion_unet import MOTION_FOLDER, moving_unet
from workers.gpu.networks import Extra, attention_switch, motion_network, still_network
from workers.gpu.parts import FarmFile as FarmFile
from workers.gpu.parts import read_parts, read_vae
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.vae import Codec

CPU_ROOM = 8 << 30
"""Bytes of models that a CPU engine keeps, if it is not told: a model of the SDXL kind and one of the SD 1.5 kind."""
CUDA_SHARE = 0.6
"""Share of a GPU's memory for models, if it is not told; the rest is for what they compute."""

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
    size: int = 0
    """Bytes of its weights."""
    fitting: Fitting = field(default_factory=Fitting)
    """What is known of the memory that its calls take."""

    def lay(self, loras: Sequence[LoraFile]) -> None:
        """Have these LoRAs over the weights, and no others. Raises BadModel."""
        if self.overlay.lay(tuple(loras)):
            self.text.forget()


@dataclass(frozen=True)
class Compute:
    """What models are loaded for."""

    device: torch.device
    dtype: torch.dtype
    """Of the UNet; VAE and text encoder may be finer."""
    compile: bool = False
    """On a GPU: compile the UNet for sizes that recur, beside the work."""


class ModelCache:
    """Models and VAEs by folder; the least recently used leaves when there is no room."""

    def __init__(
        self, device: torch.device, dtype: torch.dtype, room: int | None = None, compile_recurring: bool = False
    ) -> None:
        """
        Args:
            room: bytes for the weights of all that is kept; the one at work stays in any case.
            compile_recurring: on a GPU, compile the UNet for sizes that recur.
        """
        self._compute = Compute(device, dtype, compile_recurring)
        self._lru: ByteLru[tuple[object, ...], Any] = ByteLru(room or _room(device))
        self._fittings: dict[tuple[object, ...], Fitting] = {}
        # A worker's output is a log, not a terminal: no bars, no advice for people who type at one.
        for library in (diffusers_logging, transformers_logging):
            library.set_verbosity_error()
            library.disable_progress_bar()

    def get(
        self, folder: Path, motion: Motion | bool = False, adapters: tuple[Path, ...] = (), apart: bool = False
    ) -> Model:
        """The model in `folder`, loaded if it is not in memory or its files have changed.

        Args:
            motion: with this motion module. True: with the folder's own, if it has one.
            adapters: folders of IP-Adapters to load it with.
            apart: not the one that other calls are given, but one of its own, whose weights can differ.
        Raises:
            BadModel: with what is wrong with the folder.
            OutOfMemory.
        """
        module = Motion() if motion is True else motion or None
        if module is not None and module.module is None and not (folder / MOTION_FOLDER).is_dir():
            module = None
        key = (_fingerprint(folder), _motion_key(module), *(_fingerprint(adapter) for adapter in adapters))
        fitting = self._fittings.setdefault(key, Fitting(Meter(self._compute.device)))

        def load() -> tuple[Model, int]:
            compute = self._compute
            model = load_model(
                folder, module or False, compute.device, compute.dtype, adapters, fitting, compute.compile
            )
            return model, model.size

        return self._kept((apart, *key), folder, load)

    def vae(self, folder: Path) -> Codec:
        """The VAE in `folder`, in place of a model's own. Raises as `get`."""
        key = ("vae", _fingerprint(folder))
        fitting = self._fittings.setdefault(key, Fitting(Meter(self._compute.device)))

        def load() -> tuple[Codec, int]:
            vae = read_vae(folder)
            return Codec(vae, self._compute.device, self._compute.dtype, fitting), weight_bytes(vae)

        return self._kept(key, folder, load)

    def _kept(self, key: tuple[object, ...], folder: Path, load: Callable[[], tuple[_T, int]]) -> _T:
        kept: _T | None = self._lru.get(key)
        if kept is not None:
            return kept
        found, size = self._loaded(folder, load)
        self._lru.put(key, found, size)
        return found

    def _loaded(self, folder: Path, load: Callable[[], tuple[_T, int]]) -> tuple[_T, int]:
        with _load_errors(folder):
            try:
                with memory_errors(f"load the model {folder.name}"):
                    return load()
            except OutOfMemory:
                if not len(self._lru):
                    raise
            # The models of other jobs make room.
            self._lru.clear()
            torch.cuda.empty_cache()
            with memory_errors(f"load the model {folder.name}"):
                return load()


def load_model(
    folder: Path,
    motion: Motion | bool,
    device: torch.device,
    dtype: torch.dtype,
    adapters: tuple[Path, ...] = (),
    fitting: Fitting | None = None,
    compile_recurring: bool = False,
) -> Model:
    """Reads a folder; safetensors only, nothing but local files.

    Args:
        motion: with this motion module; True: with the folder's own.
        adapters: folders of IP-Adapters.
        fitting: what is known of the memory that calls of this model take.
    Raises:
        BadModel, and what the libraries raise about files.
    """
    parts = read_parts(folder, dtype)
    unet, channels = parts.unet, int(parts.vae.config.latent_channels)
    takes_concat = unet.config.in_channels > channels
    wants_vector = unet.config.addition_embed_type is not None
    shape, betas = control_shape(unet.config), betas_of(parts.scheduler)
    longest: int | None = None
    frames_of = None
    if motion:
        moving = moving_unet(unet, folder, Motion() if motion is True else motion, parts.about.motion_norm, dtype)
        unet, longest, frames_of = moving.unet, moving.longest, moving.frames_of
        betas = betas if moving.betas is None else moving.betas
    laid = Adapters(unet, adapters, device, dtype) if adapters else None
    unet = unet.to(device).eval().requires_grad_(False)
    if device.type == "cuda":
        # Tensor cores want channels last. A CPU gains little by it and rounds otherwise.
        unet = unet.to(memory_format=torch.channels_last)
    encoders = [clip.encoder.to(device).eval().requires_grad_(False) for clip in parts.clips]
    fitting = fitting or Fitting(Meter(device))
    fitting.slice_attention = attention_switch(unet)
    codec = Codec(parts.vae, device, dtype, fitting)
    # How strongly an IP-Adapter acts is a number in the network, and a compiled one would be made anew for each.
    recurring = compile_recurring and device.type == "cuda" and laid is None
    called = Compiled(unet, compile_on_gpu) if recurring else unet

    def as_network(extra: Extra | None = None) -> Network:
        if longest is None:
            return still_network(called, extra, codec.factor)
        return motion_network(called, extra, codec.factor, frames_of)

    return Model(
        network=as_network(),
        table=SigmaTable(betas),
        prediction=_prediction(parts.scheduler),
        codec=codec,
        text=TextEncoder(parts.clips),
        latent_channels=channels,
        takes_concat=takes_concat,
        longest_context=longest,
        extended=as_network,
        family=parts.family,
        wants_vector=wants_vector,
        overlay=Overlay(unet, encoders),
        control_shape=shape,
        unet=unet,
        adapters=laid,
        size=weight_bytes(unet, parts.vae, *encoders),
        fitting=fitting,
    )


def weight_bytes(*parts: torch.nn.Module) -> int:
    """Bytes of the weights of networks."""
    return sum(weight.nbytes for part in parts for weight in part.parameters())


def _room(device: torch.device) -> int:
    if device.type != "cuda":
        return CPU_ROOM
    return int(CUDA_SHARE * torch.cuda.get_device_properties(device).total_memory)


def _prediction(scheduler: dict[str, Any]) -> Prediction:
    kind = scheduler.get("prediction_type", "epsilon")
    if kind == "epsilon":
        return "epsilon"
    if kind == "v_prediction":
        return "v_prediction"
    raise BadModel(f"its scheduler predicts {kind!r}", "use a model that predicts `epsilon` or `v_prediction`")


def _fingerprint(place: Path) -> tuple[object, ...]:
    """Changes when the files of a folder, or the file, do."""
    files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return (str(place.resolve()), *stats)


def _motion_key(motion: Motion | None) -> tuple[object, ...]:
    if motion is None:
        return ()
    loras = [(_fingerprint(place), strength) for place, strength in motion.loras]
    return (_fingerprint(motion.module) if motion.module else "own", *loras)


@contextmanager
def _load_errors(folder: Path) -> Iterator[None]:
    """What the libraries raise about a folder, in words for people."""
    try:
        yield
    except (OSError, SafetensorError, ValidationError, json.JSONDecodeError, KeyError, ValueError) as error:
        fault = f"its folder {folder.name!r} cannot be read: {error}"
        raise BadModel(fault, "repair the folder and add it again") from error
