"""Models from folders in diffusers' layout (Stable Diffusion 1.x), kept in memory while they are used."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.utils import logging as diffusers_logging
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from farm.errors import OutOfMemory
from workers.gpu.conditioning import TextEncoder
from workers.gpu.controlnets import control_shape
from workers.gpu.denoiser import Network, Prediction
from workers.gpu.faults import BadModel, memory_errors
from workers.gpu.image_prompts import Adapters
from workers.gpu.networks import Extra, motion_network, norm_per_frame, still_network
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.vae import Codec

MODELS_IN_MEMORY = 2
"""Models that a worker holds: the one at work and its refiner, or the one before."""
MOTION_FOLDER = "motion_adapter"


class FarmFile(BaseModel):
    """What a model's folder may say about itself, in `farm.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    motion_norm: Literal["per_frame", "window"] = "per_frame"
    """What the group norm at the entry of each motion module goes over. `per_frame`: the motion module is in
    AnimateDiff's original format or was converted from it; then the betas are linear too (PARITY 7)."""
    recommended: dict[str, float | int | str] = {}
    """Parameters that suit the model, by the nodes' names; for people and for defaults of a form."""


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
    unet: Any
    adapters: Adapters | None = None
    """IP-Adapters that the UNet was loaded with; then it wants pictures in every call."""


class ModelCache:
    """Models by folder; the least recently used leaves when there is no room."""

    def __init__(self, device: torch.device, dtype: torch.dtype, room: int = MODELS_IN_MEMORY) -> None:
        self._device = device
        self._dtype = dtype
        self._room = room
        self._models: OrderedDict[tuple[object, ...], Model] = OrderedDict()
        # A worker's output is a log, not a terminal: no bars, no advice for people who type at one.
        for library in (diffusers_logging, transformers_logging):
            library.set_verbosity_error()
            library.disable_progress_bar()

    def get(self, folder: Path, motion: bool, adapters: tuple[Path, ...] = ()) -> Model:
        """The model in `folder`, loaded if it is not in memory or its files have changed.

        Args:
            motion: with the motion module, if the folder has one.
            adapters: folders of IP-Adapters to load it with.
        Raises:
            BadModel: with what is wrong with the folder.
            OutOfMemory.
        """
        motion = motion and (folder / MOTION_FOLDER).is_dir()
        key = (motion, *_fingerprint(folder), *(_fingerprint(adapter) for adapter in adapters))
        if key not in self._models:
            while len(self._models) >= self._room:
                self._models.popitem(last=False)
            self._models[key] = self._load(folder, motion, adapters)
        self._models.move_to_end(key)
        return self._models[key]

    def _load(self, folder: Path, motion: bool, adapters: tuple[Path, ...]) -> Model:
        with _load_errors(folder):
            try:
                with memory_errors(f"load the model {folder.name}"):
                    return load_model(folder, motion, self._device, self._dtype, adapters)
            except OutOfMemory:
                if not self._models:
                    raise
            # The models of other jobs make room.
            self._models.clear()
            torch.cuda.empty_cache()
            with memory_errors(f"load the model {folder.name}"):
                return load_model(folder, motion, self._device, self._dtype, adapters)


def load_model(
    folder: Path, motion: bool, device: torch.device, dtype: torch.dtype, adapters: tuple[Path, ...] = ()
) -> Model:
    """Reads a folder; safetensors only, nothing but local files."""
    about = FarmFile.model_validate(_document(folder / "farm.json", {}))
    scheduler = _document(folder / "scheduler" / "scheduler_config.json", None)
    unet = _part(UNet2DConditionModel, folder / "unet", dtype)
    _check_unet(unet)
    vae = _part(AutoencoderKL, folder / "vae", torch.float32)
    encoder = _part(CLIPTextModel, folder / "text_encoder", torch.float32).to(device).eval().requires_grad_(False)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    original_motion = motion and about.motion_norm == "per_frame"
    longest: int | None = None
    takes_concat = unet.config.in_channels > vae.config.latent_channels
    shape = control_shape(unet.config)
    if motion:
        adapter = _part(MotionAdapter, folder / MOTION_FOLDER, dtype)
        unet = UNetMotionModel.from_unet2d(unet, adapter)
        longest = int(adapter.config.motion_max_seq_length)
    if original_motion:
        norm_per_frame(unet)
    laid = Adapters(unet, adapters, device, dtype) if adapters else None
    unet = unet.to(device).eval().requires_grad_(False)
    as_network = motion_network if motion else still_network
    return Model(
        network=as_network(unet),
        table=SigmaTable(betas_of(scheduler, linear=original_motion)),
        prediction=_prediction(scheduler),
        codec=Codec(vae, device, dtype),
        text=TextEncoder(tokenizer, encoder),
        latent_channels=int(vae.config.latent_channels),
        takes_concat=takes_concat,
        longest_context=longest,
        extended=lambda extra: as_network(unet, extra),
        control_shape=shape,
        unet=unet,
        adapters=laid,
    )


def _part(kind: Any, folder: Path, dtype: torch.dtype) -> Any:  # noqa: ANN401  diffusers and transformers are untyped
    if not folder.is_dir():
        raise BadModel(f"it has no folder {folder.name!r}", "add it: the layout is diffusers', of Stable Diffusion 1.x")
    # Hubs name half-precision weights so, and some folders hold nothing else.
    plain = any(file for file in folder.glob("*.safetensors") if ".fp16." not in file.name)
    variant = None if plain or not any(folder.glob("*.fp16.*safetensors")) else "fp16"
    options = {"local_files_only": True, "use_safetensors": True, "variant": variant}
    return kind.from_pretrained(folder, torch_dtype=dtype, **options)


def _document(path: Path, missing: dict[str, Any] | None) -> dict[str, Any]:
    if not path.is_file() and missing is not None:
        return missing
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _check_unet(unet: Any) -> None:  # noqa: ANN401  diffusers is untyped
    if unet.config.addition_embed_type is not None:
        raise BadModel("its UNet is of the SDXL kind", "use a model of the Stable Diffusion 1.x kind")


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
