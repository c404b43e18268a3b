"""What steers a segment besides its prompt, as a user asks for it: ControlNets and IP-Adapters (SPEC 11), prompts with
masks (SPEC 5 f)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

Percent = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=10)]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NoPreprocessor(_Spec):
    """The crop itself is the control picture."""

    kind: Literal["none"] = "none"


class Canny(_Spec):
    """White edges on black, found in the crop."""

    kind: Literal["canny"] = "canny"
    low_threshold: Percent = 0.4
    """Edges below are left out."""
    high_threshold: Percent = 0.8
    """Edges above are kept; those between, where they go on from a kept one."""

    @model_validator(mode="after")
    def _ordered(self) -> Canny:
        if self.low_threshold > self.high_threshold:
            raise ValueError(
                f"low_threshold {self.low_threshold:g} is above high_threshold {self.high_threshold:g}; exchange them."
            )
        return self


class PluginPreprocessor(_Spec):
    """A preprocessor of an installed package, found by its name among the entry points `farm.preprocessors`."""

    kind: Literal["plugin"] = "plugin"
    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Of the entry point."""
    parameters: dict[str, JsonValue] = {}
    """Handed to the package as they are."""
    version: str | None = None
    """As the package says, filled in at submit: workers with another refuse the task."""


def _named(value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    """A name alone stands for the preprocessor of that name with its defaults."""
    if not isinstance(value, str):
        return value
    return {"kind": value} if value in ("none", "canny") else {"kind": "plugin", "name": value}


Preprocessor = Annotated[
    Annotated[NoPreprocessor | Canny | PluginPreprocessor, Field(discriminator="kind")], BeforeValidator(_named)
]
FindPreprocessor = Callable[[str], str]
"""Name of an installed preprocessor -> its version. Raises NotFound with those that there are."""


def _check_range(start_percent: float, end_percent: float) -> None:
    if start_percent >= end_percent:
        raise ValueError(
            f"start_percent is {start_percent:g} and end_percent {end_percent:g}: it would never act. "
            f"Set start_percent below end_percent."
        )


class ControlParameters(_Spec):
    """How a ControlNet acts."""

    strength: Strength = 1.0
    """Factor on what it adds to the model; 0: it is left out."""
    start_percent: Percent = 0.0
    """Share of the model's noise levels, from the noisiest, at which it begins to act."""
    end_percent: Percent = 1.0
    """The same, at which it ends."""
    preprocessor: Preprocessor = NoPreprocessor()
    """What makes the control picture out of the crop: `none`, `canny`, or the name of an installed one."""

    @model_validator(mode="after")
    def _some_range(self) -> ControlParameters:
        _check_range(self.start_percent, self.end_percent)
        return self


class ControlRequest(ControlParameters):
    """A ControlNet for a segment. Several add up, in the order given."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    """Name or content hash of a ControlNet that was added to the farm."""
    image: str | None = None
    """Upload URI of control pictures: one for all frames or one per frame, for the whole picture; each crop is given
    its part. Left out: the `preprocessor` makes them out of the crops."""

    @model_validator(mode="after")
    def _one_picture(self) -> ControlRequest:
        if self.image is not None and self.preprocessor != NoPreprocessor():
            raise ValueError("a ControlNet is given either `image` or a `preprocessor`, not both.")
        return self


class ImagePromptParameters(_Spec):
    """How an IP-Adapter acts."""

    weight: Annotated[float, Field(ge=-1, le=5)] = 1.0
    """Of the picture, beside the text; 0: it is left out."""
    start_percent: Percent = 0.0
    """Share of the model's noise levels, from the noisiest, at which it begins to act."""
    end_percent: Percent = 1.0
    """The same, at which it ends."""
    context_crop_factor: Annotated[float | None, Field(ge=1, le=100)] = 1.2
    """The reference is cut around the crop region, so many times as large; null: all of it is shown."""

    @model_validator(mode="after")
    def _some_range(self) -> ImagePromptParameters:
        _check_range(self.start_percent, self.end_percent)
        return self


class ImagePromptRequest(ImagePromptParameters):
    """An IP-Adapter for a segment: a picture that says what to draw."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    """Name or content hash of an IP-Adapter that was added to the farm."""
    image: str
    """Upload URI of reference pictures: one for all frames or one per frame. In `animatediff` jobs the motion module's
    window is shown that of its first frame."""


class ConditioningParameters(_Spec):
    """A further prompt that counts where its mask is white."""

    prompt: Annotated[str, Field(max_length=20_000)]
    """What to draw there; with `negative`, what to keep away from."""
    strength: Strength = 1.0
    """Weight of a white pixel; the segment's own prompt has the weight 1 everywhere."""
    negative: bool = False
    """It stands beside the negative prompt instead."""


class ConditioningRequest(ConditioningParameters):
    """A further prompt of a segment."""

    mask: str
    """Upload URI of a mask for the whole picture, of any size: one for all frames or one per frame."""
