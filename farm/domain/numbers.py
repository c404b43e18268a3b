"""What counts as a number in a document that somebody sends: behind the bounds, `Annotated[int, Field(ge=0), WHOLE]`.

`true` and `"7"` are none. Or `false` would be 0, which is a quota without limit, or a worker that ends at once.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def _only(kind: Literal["int_type", "float_type"]) -> BeforeValidator:
    def checked(value: object) -> object:
        if isinstance(value, (bool, str)):
            raise PydanticCustomError(kind, "not a number")
        return value

    return BeforeValidator(checked)


WHOLE = _only("int_type")
"""7, also as 7.0."""
NUMBER = _only("float_type")
"""7 and 7.5."""
