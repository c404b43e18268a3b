"""The networks of a run: built from nothing or from a model folder, laid over with what stages learnt, saved."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    MotionAdapter,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNetMotionModel,
)
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from demo.training.presets import Preset, StageName
from demo.training.vocabulary import write_tokenizer

BETAS = (0.00085, 0.012)
"""First and last beta."""
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": BETAS[0],
    "beta_end": BETAS[1],
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
}
"""As Stable Diffusion 1.x."""
LOG_VARIANCE = (-30.0, 20.0)
"""Range that diffusers clamps an encoder's logarithm of variance to."""


@dataclass
class Networks:
    """Everything that a model folder holds."""

    vae: Any  # diffusers ships no types
    unet: Any
    text: Any
    tokenizer: Any
    motion: Any

    def to(self, device: torch.device) -> Networks:
        """Move all of them; returns itself."""
        for each in self.modules().values():
            each.to(device)
        return self

    def modules(self) -> dict[str, nn.Module]:
        """Those with weights, by the names of a model folder's parts."""
        return {"vae": self.vae, "unet": self.unet, "text_encoder": self.text, "motion_adapter": self.motion}

    def part(self, name: str) -> nn.Module:
        """A network, or a part of one (`vae.decoder`)."""
        whole, _, inner = name.partition(".")
        return self.modules()[whole].get_submodule(inner)

    def freeze(self) -> None:
        """Hold everything still; a stage frees what it trains."""
        for each in self.modules().values():
            each.requires_grad_(False).eval()


LEARNT: dict[StageName, tuple[str, ...]] = {
    StageName.AUTOENCODER: ("vae",),
    StageName.DENOISER: ("unet",),
    StageName.DECODER: ("vae.decoder", "vae.post_quant_conv"),
    StageName.MOTION: ("motion_adapter",),
}
"""What each stage trains. The text encoder is trained with the denoiser where nothing was there before."""


def learnt(preset: Preset, stage: StageName) -> tuple[str, ...]:
    """Names of what a stage trains."""
    with_text = stage is StageName.DENOISER and preset.start is None
    return (*LEARNT[stage], "text_encoder") if with_text else LEARNT[stage]


def build(preset: Preset, work: Path, words: tuple[str, ...], device: torch.device) -> Networks:
    """The networks before a stage: the start, with what finished stages in `work` learnt laid over it.

    Args:
        words: captions that a tokenizer from nothing is made for.
    """
    networks = load(preset.start) if preset.start else _from_nothing(preset, work, words)
    for stage in preset.paces:
        if (path := weights_path(work, stage)).is_file():
            lay_over(networks, load_file(path))
    networks.freeze()
    return networks.to(device)


def load(folder: Path) -> Networks:
    """The networks of a model folder, in float32 whatever they are stored in."""
    return Networks(
        vae=_read(AutoencoderKL, folder / "vae"),
        unet=_read(UNet2DConditionModel, folder / "unet"),
        text=_read(CLIPTextModel, folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        motion=_read(MotionAdapter, folder / "motion_adapter"),
    )


def created(kind: Any, **config: Any) -> Any:  # noqa: ANN401 - diffusers ships no types
    """An object of a class of diffusers."""
    return kind(**config)


def _read(kind: Any, folder: Path) -> Any:  # noqa: ANN401 - diffusers ships no types
    return kind.from_pretrained(folder).float()


def _from_nothing(preset: Preset, work: Path, words: tuple[str, ...]) -> Networks:
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(write_tokenizer(work / "tokenizer", words))
    last = len(tokenizer) - 1
    text = CLIPTextConfig(
        vocab_size=last + 1, bos_token_id=last - 1, eos_token_id=last, pad_token_id=last, **(preset.text or {})
    )
    motion = created(MotionAdapter, **(preset.motion or {}))
    for name, weights in motion.named_parameters():
        if "proj_out" in name:
            # At first the motion modules do nothing.
            nn.init.zeros_(weights)
    vae, unet = created(AutoencoderKL, **(preset.vae or {})), created(UNet2DConditionModel, **(preset.unet or {}))
    return Networks(vae, unet, CLIPTextModel(text), tokenizer, motion)


def weights_path(work: Path, stage: StageName) -> Path:
    """Where a finished stage leaves what it learnt."""
    return work / f"{stage}.safetensors"


def lay_over(networks: Networks, weights: dict[str, Tensor]) -> None:
    """Put learnt weights in place; names are `<part>/<name in it>`. A stage's `scaling` is the VAE's factor."""
    for name, value in weights.items():
        part, _, inner = name.partition("/")
        if part == "scaling":
            networks.vae.register_to_config(scaling_factor=float(value))
        else:
            networks.part(part).state_dict()[inner].copy_(value)


def save_learnt(path: Path, weights: dict[str, Tensor]) -> None:
    """Write learnt weights, whole or not at all."""
    making = path.with_suffix(".part")
    save_file({name: value.detach().float().cpu().contiguous() for name, value in weights.items()}, making)
    making.replace(path)


def save(networks: Networks, folder: Path) -> None:
    """Write a model folder in diffusers' layout, at 16 bits."""
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = created(
        StableDiffusionPipeline,
        vae=networks.vae.half(),
        unet=networks.unet.half(),
        text_encoder=networks.text.half(),
        tokenizer=networks.tokenizer,
        scheduler=created(EulerDiscreteScheduler, **SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    networks.motion.half().save_pretrained(folder / "motion_adapter")


def noise_shares(device: torch.device) -> Tensor:
    """Share of the signal's power at each of the 1000 steps (alpha bar), `[1000]`."""
    betas = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float().to(device)


def encoded(vae: Any, pictures: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - diffusers ships no types
    """Mean and logarithm of variance of the latents of `[B, 3, H, W]` in [-1, 1], not yet scaled."""
    mean, log_variance = vae.quant_conv(vae.encoder(pictures)).chunk(2, 1)
    return mean, log_variance.clamp(*LOG_VARIANCE)


def decoded(vae: Any, latents: Tensor) -> Tensor:  # noqa: ANN401 - diffusers ships no types
    """Pictures `[B, 3, H, W]` of latents that are not scaled."""
    made: Tensor = vae.decoder(vae.post_quant_conv(latents))
    return made


def motion_unet(networks: Networks) -> Any:  # noqa: ANN401 - diffusers ships no types
    """A UNet with motion modules, copied from the still one and the adapter; its parts have the adapter's names."""
    return UNetMotionModel.from_unet2d(networks.unet, networks.motion, load_weights=True).requires_grad_(False).eval()
