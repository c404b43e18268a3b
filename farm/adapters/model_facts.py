"""What a model's files are: read from configurations and from names and shapes of weights, not from names of files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from farm.adapters.onnx_header import OnnxHeader
from farm.adapters.weights_header import WeightsHeader
from farm.adapters.yolo_layout import DETECTOR, yolo_layout
from farm.domain.model import WIDTHS, Family, ModelKind
from farm.errors import Rejected

SINGLE = "weights.safetensors"
"""What the one file of a model is called in its manifest, so that its own name does not change the model's hash."""
CLIP_TOKENS = 49_408
"""Size of the vocabulary that CLIP was trained with, and that ships with the farm."""
IMAGE_ENCODER = "image_encoder/config.json"
"""What a folder with an IP-Adapter has besides."""
UNET, VAE = "model.diffusion_model.", "first_stage_model."
"""Prefixes of a checkpoint in its original layout."""

_TEXT_ENCODERS: tuple[tuple[str, Family], ...] = (
    ("conditioner.embedders.1.model.", "sdxl"),
    ("conditioner.embedders.0.model.", "sdxl_refiner"),
    ("cond_stage_model.model.", "sd2"),
    ("cond_stage_model.transformer.", "sd1"),
)
"""What only checkpoints of a family have."""
_FOLDER_KINDS: dict[str, ModelKind] = {
    "AutoencoderKL": "vae",
    "MotionAdapter": "motion",
    "ControlNetModel": "controlnet",
}
_LORA_MARKS = ("lora_down.", "lora_up.", ".lora_A.", ".lora_B.", "_lora.down.", "_lora.up.", "lora_linear_layer.")
_LORA_DOWN = ("lora_down.weight", "lora_A.weight", "_lora.down.weight")


class ModelFiles(Protocol):
    """Where a model's files can be looked into, on this machine or in the store."""

    @property
    def paths(self) -> frozenset[str]:
        """Relative, with `/`."""

    def text(self, path: str) -> bytes:
        """A small file."""

    def header(self, path: str) -> WeightsHeader:
        """Of a `.safetensors` file. Raises BadWeights."""

    def network(self, path: str) -> OnnxHeader:
        """Of a `.onnx` file. Raises BadOnnx."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model before it is loaded."""

    kind: ModelKind
    family: Family = ""
    text_width: int = 0
    latent_channels: int = 0
    has_motion: bool = False
    vocabulary: int = 0
    """Tokens that its text encoder knows; 0: not known."""


def facts_of(files: ModelFiles, name: str) -> ModelFacts:
    """What the files are; `name` is for messages.

    Raises:
        Rejected: nothing that the farm knows, or parts are missing.   BadWeights, BadOnnx.
    """
    try:
        return _facts(files, name)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise Rejected(
            f"The configuration or the weights of {name!r} hold what no such model has ({error}). "
            f"Fetch it again from where it came."
        ) from error


def _facts(files: ModelFiles, name: str) -> ModelFacts:
    if "model_index.json" in files.paths:
        return _folder(files)
    if DETECTOR in files.paths:
        yolo_layout(files.network(DETECTOR), name)
        return ModelFacts("detector")
    if SINGLE in files.paths:
        return _single(files.header(SINGLE), name)
    if IMAGE_ENCODER in files.paths:
        return _ip_adapter(files, name)
    if "config.json" in files.paths:
        config = _json(files, "config.json")
        kind = _FOLDER_KINDS.get(str(config.get("_class_name")))
        if kind is not None:
            channels = int(config.get("latent_channels", 0)) if kind == "vae" else 0
            width = _width(config) if kind == "controlnet" else 0
            return ModelFacts(kind, "", width, channels, has_motion=kind == "motion")
        if config.get("model_type") == "sam":
            return ModelFacts("sam")
        raise Rejected(
            f"{name!r} holds a {config.get('_class_name')!r}, which the farm cannot use by itself. Give a whole model "
            f"(with model_index.json), or a folder of one of: {', '.join(_FOLDER_KINDS)}."
        )
    raise Rejected(
        f"{name!r} has no model_index.json and no config.json. Give a model folder in diffusers' layout (unet/, vae/, "
        f"text_encoder/, tokenizer/, scheduler/), as `save_pretrained` writes it, or a .safetensors file."
    )


def _folder(files: ModelFiles) -> ModelFacts:
    unet = _json(files, "unet/config.json")
    return ModelFacts(
        "model",
        _folder_family(files, unet),
        _width(unet),
        int(unet.get("out_channels", 0)),
        has_motion=any(path.startswith("motion_adapter/") for path in files.paths),
    )


def _width(config: dict[str, Any]) -> int:
    """Of the text that a UNet or a ControlNet reads."""
    width = config.get("cross_attention_dim") or 0
    return int(width if isinstance(width, int) else max(width))


def _ip_adapter(files: ModelFiles, name: str) -> ModelFacts:
    weights = [path for path in files.paths if path.endswith(".safetensors") and "/" not in path]
    header = files.header(weights[0]) if len(weights) == 1 else None
    if header is None or not header.any("ip_adapter."):
        raise Rejected(
            f"{name!r} has an image encoder, as IP-Adapters have, but not the adapter. Put its one .safetensors "
            f"file beside it."
        )
    widths = {shape[1] for key, shape in header.shapes.items() if key.endswith("to_k_ip.weight")}
    return ModelFacts("ip_adapter", text_width=widths.pop() if len(widths) == 1 else 0)


def _folder_family(files: ModelFiles, unet: dict[str, Any]) -> Family:
    if not unet:
        return ""
    if unet.get("addition_embed_type") == "text_time":
        # The refiner has OpenCLIP's encoder alone.
        return "sdxl" if "text_encoder/config.json" in files.paths else "sdxl_refiner"
    encoder = _json(files, "text_encoder/config.json")
    # OpenCLIP was trained with the exact GELU, OpenAI's CLIP with a quicker one.
    return "sd2" if encoder.get("hidden_act") == "gelu" else "sd1"


def _json(files: ModelFiles, path: str) -> dict[str, Any]:
    if path not in files.paths:
        return {}
    try:
        found: Any = json.loads(files.text(path))
    except (ValueError, RecursionError) as error:
        raise Rejected(f"The model's file {path!r} is no JSON: {error}. Repair it and add the model again.") from None
    return found if isinstance(found, dict) else {}


def _single(header: WeightsHeader, name: str) -> ModelFacts:
    if header.begins(UNET):
        return _checkpoint(header, name)
    if header.any("motion_modules."):
        return ModelFacts("motion_lora" if header.any(*_LORA_MARKS) else "motion", has_motion=True)
    if header.any("control_model.", "input_hint_block.", "controlnet_cond_embedding.", "lllite_"):
        return ModelFacts("controlnet")
    if header.any("ip_adapter.", "image_proj."):
        return ModelFacts("ip_adapter")
    if header.any(*_LORA_MARKS):
        return _lora(header, name)
    for prefix in ("", VAE, "vae."):
        if f"{prefix}decoder.conv_in.weight" in header and f"{prefix}encoder.conv_in.weight" in header:
            return ModelFacts("vae", latent_channels=header.shapes[f"{prefix}decoder.conv_in.weight"][1])
    found = _embedding(header)
    if found is not None:
        return found
    some = ", ".join(repr(key) for key in sorted(header.shapes)[:3]) or "none"
    raise Rejected(
        f"The weights in {name!r} belong to nothing that the farm knows; the first are {some}. It takes checkpoints of "
        f"Stable Diffusion 1.x, 2.x and SDXL with their VAE and text encoder, VAEs, LoRAs (not LoHa, LoKr), "
        f"embeddings, motion modules, motion LoRAs, ControlNets and IP-Adapters."
    )


def _checkpoint(header: WeightsHeader, name: str) -> ModelFacts:
    family = next((family for prefix, family in _TEXT_ENCODERS if header.begins(prefix)), None)
    shapes = header.shapes
    if f"{UNET}input_blocks.0.0.weight" not in header or f"{UNET}out.2.weight" not in header:
        raise Rejected(
            f"The checkpoint {name!r} is of a kind that the farm does not run: its network is not the UNet of Stable "
            f"Diffusion. It runs Stable Diffusion 1.x, 2.x and SDXL."
        )
    missing = [part for part, there in (("VAE", header.begins(VAE)), ("text encoder", family)) if not there]
    if missing:
        raise Rejected(
            f"The checkpoint {name!r} has no {' and no '.join(missing)}. Take the full file of the model, not a pruned "
            f"one, or a folder in diffusers' layout."
        )
    widths = [shape[1] for key, shape in shapes.items() if key.startswith(UNET) and key.endswith("attn2.to_k.weight")]
    tokens = [shape[0] for key, shape in shapes.items() if key.endswith("token_embedding.weight")]
    return ModelFacts(
        "model",
        family or "",
        max(widths, default=0),
        shapes[f"{UNET}out.2.weight"][0],
        vocabulary=max(tokens, default=0),
    )


def _lora(header: WeightsHeader, name: str) -> ModelFacts:
    if header.any("dora_scale", "hada_w1", "lokr_w1"):
        raise Rejected(
            f"{name!r} is not a plain LoRA: it has parts of DoRA, LoHa or LoKr, which the farm does not lay over "
            f"models. Extract a plain LoRA from it, or merge it into its model."
        )
    widths = {
        shape[1]
        for key, shape in header.shapes.items()
        if "attn2" in key and ("to_k" in key or "to_v" in key) and key.endswith(_LORA_DOWN) and len(shape) > 1
    }
    width = widths.pop() if len(widths) == 1 else 0
    two = header.any("lora_te2_", "text_encoder_2.")
    return ModelFacts("lora", "sdxl" if two else WIDTHS.get(width, ""), width)


def _embedding(header: WeightsHeader) -> ModelFacts | None:
    parts = [header.shapes[key] for key in ("clip_l", "clip_g") if key in header]
    if not parts and len(header.shapes) == 1:
        parts = list(header.shapes.values())
    if "emb_params" in header:
        parts = [header.shapes["emb_params"]]
    if not parts or any(len(shape) not in (1, 2) for shape in parts):
        return None
    width = sum(shape[-1] for shape in parts)
    return ModelFacts("embedding", WIDTHS.get(width, ""), width)
