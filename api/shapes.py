"""What all JSON bodies have in common."""

from __future__ import annotations

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError


def _number(value: object) -> object:
    if isinstance(value, (bool, str)):
        raise PydanticCustomError("int_type", "not a number")
    return value


WHOLE = BeforeValidator(_number)
"""Behind the bounds of a number in a body: 7, also as 7.0; `true` and `"7"` are none."""


class Asked(BaseModel):
    """A body that a client sends: a field that nobody knows is an error, since it may be a typo."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Answer(BaseModel):
    """A body that the API sends."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
