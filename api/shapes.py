"""What all JSON bodies have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Asked(BaseModel):
    """A body that a client sends: a field that nobody knows is an error, since it may be a typo."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Answer(BaseModel):
    """A body that the API sends."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
