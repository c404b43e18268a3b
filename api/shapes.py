"""What all JSON bodies have in common, and dates in addresses."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError


def _written_out(value: object) -> object:
    if isinstance(value, str) and not re.match(r"\d{4}-", value):
        raise PydanticCustomError("datetime_parsing", "a date and time with its zone is needed: 2026-11-20T08:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""A date and time, as RFC 3339 writes it; a bare number would be taken for seconds since 1970, or for milliseconds."""


class Asked(BaseModel):
    """A body that a client sends: a field that nobody knows is an error, since it may be a typo."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Answer(BaseModel):
    """A body that the API sends."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
