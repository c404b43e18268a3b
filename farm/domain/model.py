"""What a farm keeps to draw with: models and what is laid over them, by name and by content."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ModelKind = Literal[
    "model", "vae", "lora", "embedding", "motion", "motion_lora", "controlnet", "ip_adapter", "detector", "sam"
]
Family = Literal["", "sd1", "sd2", "sdxl", "sdxl_refiner"]
"""Empty: not known."""

KIND_NAMES: dict[ModelKind, str] = {
    "model": "a model",
    "vae": "a VAE",
    "lora": "a LoRA",
    "embedding": "an embedding",
    "motion": "a motion module",
    "motion_lora": "a motion LoRA",
    "controlnet": "a ControlNet",
    "ip_adapter": "an IP-Adapter",
    "detector": "a detector",
    "sam": "a SAM",
}
"""For sentences."""
FAMILY_NAMES: dict[Family, str] = {
    "": "of an unknown kind",
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "SDXL",
    "sdxl_refiner": "the SDXL refiner",
}
WIDTHS: dict[int, Family] = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl_refiner"}
"""Width of the text that a UNet reads -> the family whose models have it at full size."""
Recommended = dict[str, bool | int | float | str]
"""Parameters by name."""
MAX_LORAS = 32
_NUMBERS = re.compile(r"^(?P<model>.+?)(?::(?P<weight>[-+]?[\d.]+))?(?::(?P<clip_weight>[-+]?[\d.]+))?$")


class ModelRef(BaseModel):
    """A model, or what is laid over one, by its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    hash: str
    """sha256 (hex) over its files."""
    has_motion: bool = False
    kind: ModelKind = "model"
    family: Family = ""
    text_width: int = 0
    """Width of the text that its UNet reads, or that it was made for; 0: not known."""
    latent_channels: int = 0
    """Of a model or a VAE; 0: not known."""
    recommended: Recommended = {}
    """Parameters that suit it, from its `farm.json`; used where a job names no model, else only spoken of."""


Weight = Annotated[float, Field(ge=-100, le=100)]


class LoraUse(BaseModel):
    """A LoRA over a model. `name:0.8` or `name:0.8:0.5` as text means the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: Annotated[str, Field(min_length=1, max_length=200)]
    """Name or content hash of a LoRA that was added to the farm."""
    weight: Weight = 1.0
    """Strength over the UNet."""
    clip_weight: Weight | None = None
    """Strength over the text encoders; as `weight` if left out."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:  # noqa: ANN401 - whatever was sent
        return lora_fields(value) if isinstance(value, str) else value


class LoraRef(BaseModel):
    """A LoRA by its content, complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelRef
    weight: float
    clip_weight: float


def lora_fields(text: str) -> dict[str, str]:
    """The fields in `name[:weight[:clip_weight]]`."""
    match = _NUMBERS.match(text.strip())
    return {name: found for name, found in match.groupdict().items() if found is not None} if match else {"model": text}
