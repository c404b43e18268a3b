"""Networks from one file: built empty by the shapes, then filled weight by weight."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from farm.adapters.model_facts import CLIP_TOKENS, UNET, VAE
from farm.domain.model import Family
from workers.gpu.faults import BadModel
from workers.gpu.single_file.names import open_clip_name, unet_name, vae_name
from workers.gpu.single_file.shapes import Shapes, text_config, unet_config, vae_config
from workers.gpu.vocabulary import clip_tokenizer

FAMILIES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("families.json").read_text(encoding="utf-8"))
SHOWN = 3
"""Missing weights that a message names."""
V_SPREAD = 0.09
"""Standard deviation of a certain bias, above which a Stable Diffusion 2.x was trained to predict velocities: the file
has no other sign of it."""
V_BIAS = "output_blocks.11.1.transformer_blocks.0.norm1.bias"


@dataclass(frozen=True)
class Checkpoint:
    """One open file."""

    handle: Any
    shapes: Shapes
    notes: Mapping[str, str]

    def part(self, prefix: str) -> Part:
        """What lies under a prefix."""
        shapes = {name.removeprefix(prefix): shape for name, shape in self.shapes.items() if name.startswith(prefix)}
        return Part(self.handle, prefix, shapes)


@dataclass(frozen=True)
class Part:
    """The weights under one prefix."""

    handle: Any
    prefix: str
    shapes: Shapes

    def tensor(self, name: str) -> Tensor:
        """A weight by its original name, without the prefix."""
        found: Tensor = self.handle.get_tensor(self.prefix + name)
        return found


def opened(path: Path) -> Checkpoint:
    """A file of weights; nothing but its header is read. Raises SafetensorError."""
    handle: Any = safe_open(path, framework="pt")
    shapes = {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118  it is no dict
    return Checkpoint(handle, shapes, dict(handle.metadata() or {}))


def load_unet(checkpoint: Checkpoint, family: Family, dtype: torch.dtype) -> Any:  # noqa: ANN401  diffusers is untyped
    """The UNet of a checkpoint. Raises BadModel."""
    part = checkpoint.part(UNET)
    config = unet_config(part.shapes, FAMILIES[family])
    unet = _empty(UNet2DConditionModel, **config)
    names = set(unet.state_dict())
    _fill(unet, part, lambda name: unet_name(name, config["layers_per_block"], names), dtype, "UNet")
    return unet


def load_vae(checkpoint: Checkpoint, family: Family) -> Any:  # noqa: ANN401  diffusers is untyped
    """The VAE of a checkpoint, or of a file of its own, in the original or in diffusers' layout. Raises BadModel."""
    prefix = next((p for p in (VAE, "vae.") if f"{p}decoder.conv_in.weight" in checkpoint.shapes), "")
    part = checkpoint.part(prefix)
    if any(name.startswith("encoder.down_blocks.") for name in part.shapes):
        part_shapes = {vae_name(name, _vae_levels(part.shapes)): shape for name, shape in part.shapes.items()}
        renamed = False
    else:
        part_shapes, renamed = dict(part.shapes), True
    config = vae_config(part_shapes, float(FAMILIES[family or "sd1"]["scaling_factor"]))
    levels = len(config["block_out_channels"])
    vae = _empty(AutoencoderKL, **config)
    _fill(vae, part, lambda name: vae_name(name, levels) if renamed else name, torch.float32, "VAE")
    return vae


def load_texts(checkpoint: Checkpoint, family: Family, folder: Path) -> list[tuple[Any, Any]]:
    """Tokenizer and text model, for each that the family has. Raises BadModel."""
    found = []
    for entry in FAMILIES[family]["text"]:
        part = checkpoint.part(entry["prefix"])
        if entry["layout"] == "clip":
            found.append(_clip(part, folder))
        else:
            found.append(_open_clip(part, folder))
    return found


def scheduler_config(checkpoint: Checkpoint, family: Family, said: str | None) -> dict[str, Any]:
    """What diffusers' folders keep in `scheduler_config.json`; `said` is what people said that the network predicts."""
    kind = said or _prediction(checkpoint, family)
    config: dict[str, Any] = {"beta_schedule": "scaled_linear", "prediction_type": kind}
    if "ztsnr" in checkpoint.shapes:
        config["rescale_betas_zero_snr"] = True
    return config


def _prediction(checkpoint: Checkpoint, family: Family) -> str:
    noted = checkpoint.notes.get("modelspec.prediction_type", "")
    if noted:
        return "v_prediction" if noted.startswith("v") else "epsilon"
    if "v_pred" in checkpoint.shapes:
        return "v_prediction"
    part = checkpoint.part(UNET)
    paints = part.shapes["input_blocks.0.0.weight"][1] == part.shapes["out.2.weight"][0]
    if family != "sd2" or not paints or V_BIAS not in part.shapes:
        return "epsilon"
    return "v_prediction" if float(part.tensor(V_BIAS).float().std(correction=0)) > V_SPREAD else "epsilon"


def _clip(part: Part, folder: Path) -> tuple[Any, Any]:
    # Some early files leave `text_model.` out.
    inner = "text_model." if any(name.startswith("text_model.") for name in part.shapes) else ""
    part = Part(part.handle, part.prefix + inner, {n.removeprefix(inner): s for n, s in part.shapes.items()})
    config = text_config(part.shapes, "clip")
    tokenizer = _tokenizer(folder, config["vocab_size"], pad_with_end=True)
    model = _empty(CLIPTextModel, config=_clip_config(config, tokenizer))
    _fill(model, part, lambda name: name.removeprefix("text_model."), torch.float32, "text encoder")
    return tokenizer, model


def _open_clip(part: Part, folder: Path) -> tuple[Any, Any]:
    config = text_config(part.shapes, "open_clip")
    tokenizer = _tokenizer(folder, config["vocab_size"], pad_with_end=False)
    projected = "text_projection" in part.shapes
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    model = _empty(kind, config=_clip_config(config, tokenizer))

    def weight(name: str) -> Tensor:
        tensor = part.tensor(open_clip_name(name))
        for place, letter in enumerate("qkv"):
            if f".{letter}_proj." in name:
                tensor = tensor.chunk(3)[place]
        return tensor.T.contiguous() if name == "text_projection.weight" else tensor

    _fill(model, part, open_clip_name, torch.float32, "text encoder", weight)
    return tokenizer, model


def _clip_config(config: Mapping[str, Any], tokenizer: Any) -> Any:  # noqa: ANN401  transformers is untyped
    numbers = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return CLIPTextConfig(**config, **numbers, pad_token_id=tokenizer.pad_token_id)


def _tokenizer(folder: Path, tokens: int, pad_with_end: bool) -> Any:  # noqa: ANN401  transformers is untyped
    own = folder / "tokenizer"
    if own.is_dir():
        tokenizer: Any = CLIPTokenizer.from_pretrained(own, local_files_only=True)
        tokenizer.pad_token = tokenizer.eos_token if pad_with_end else tokenizer.convert_ids_to_tokens(0)
        return tokenizer
    if tokens != CLIP_TOKENS:
        raise BadModel(
            f"its text encoder knows {tokens} tokens, and there is no tokenizer with it",
            "add it again with `farm model add … --tokenizer FOLDER`",
        )
    return clip_tokenizer(pad_with_end)


def _empty(kind: Any, **config: Any) -> Any:  # noqa: ANN401  diffusers and transformers are untyped
    """A network without weights: memory is not touched before they are there."""
    with torch.device("meta"):
        return kind(**config)


def _vae_levels(shapes: Shapes) -> int:
    return 1 + max(int(name.split(".")[2]) for name in shapes if name.startswith("encoder.down_blocks."))


def _fill(
    network: nn.Module,
    part: Part,
    original: Callable[[str], str],
    dtype: torch.dtype,
    what: str,
    weight: Callable[[str], Tensor] | None = None,
) -> None:
    """Give an empty network its weights. Raises BadModel: some are missing, or have another shape."""
    wanted = network.state_dict()
    missing = [original(name) for name in wanted if original(name) not in part.shapes]
    if missing:
        some = ", ".join(part.prefix + name for name in missing[:SHOWN])
        raise BadModel(
            f"its file lacks {len(missing)} of the {len(wanted)} weights of the {what}, first {some}",
            "take the full file of the model",
        )
    take = weight or (lambda name: part.tensor(original(name)))
    state = {}
    for name, empty in wanted.items():
        tensor = take(name)
        # Attention of the VAE: the original has convolutions over single pixels, diffusers linear layers; and back.
        if tensor.shape != empty.shape and tensor.numel() == empty.numel():
            tensor = tensor.reshape(empty.shape)
        if tensor.shape != empty.shape:
            raise BadModel(
                f"the weight {part.prefix + original(name)} of the {what} is {list(tensor.shape)} where "
                f"{list(empty.shape)} is needed",
                "use Stable Diffusion 1.x, 2.x or SDXL",
            )
        state[name] = tensor.to(dtype)
    network.load_state_dict(state, assign=True)
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:  # CLIP's positions: not kept in files
                module.register_buffer(name, torch.arange(buffer.shape[-1])[None], persistent=False)
