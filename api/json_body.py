"""A JSON body that a route reads by itself, once it knows who asks."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from farm.errors import TooLarge

T = TypeVar("T", bound=BaseModel)


async def read_json(request: Request, kind: type[T], most: int) -> T:
    """The body as `kind`.

    Args:
        most: bytes.
    Raises:
        TooLarge: more than that.   RequestValidationError: no JSON, or none that fits.
    """
    data = bytearray()
    async for block in request.stream():
        data += block
        if len(data) > most:
            raise TooLarge(f"The body is larger than {most:,} bytes. Send less at once.")
    if not request.headers.get("content-type", "application/json").startswith("application/json"):
        raise RequestValidationError([{"type": "model_type", "loc": ("body",), "msg": "", "input": bytes(data[:1])}])
    try:
        return kind.model_validate_json(bytes(data))
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in found]) from None


def document_of(kind: type[BaseModel]) -> dict[str, Any]:
    """What the API's document says of such a body."""
    schema = kind.model_json_schema()
    parts = schema.pop("$defs", {})
    return _resolved(schema, parts)  # type: ignore[no-any-return]  # an object stays one


def _resolved(part: Any, parts: dict[str, Any]) -> Any:  # noqa: ANN401 - a part of a JSON document
    """`part` with what it refers to in its place."""
    if isinstance(part, dict):
        name = part.get("$ref", "").rsplit("/", 1)[-1]
        return _resolved(parts[name], parts) if name else {key: _resolved(value, parts) for key, value in part.items()}
    return [_resolved(value, parts) for value in part] if isinstance(part, list) else part
