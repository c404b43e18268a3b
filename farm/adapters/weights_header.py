"""What a `.safetensors` file holds, read from its first bytes: no torch, no weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from farm.errors import Rejected

LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""
LENGTH_BYTES = 8

Reader = Callable[[int, int], bytes]
"""Start, length -> bytes of a file; fewer where it ends."""


class BadWeights(Rejected):
    """A file of weights that is not what its name says."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"{name!r} is no sound .safetensors file: {fault}. Fetch it again from where it came, or save it anew."
        )


@dataclass(frozen=True)
class WeightsHeader:
    """Names, shapes and notes of a file of weights."""

    shapes: Mapping[str, tuple[int, ...]]
    """Tensor name -> shape."""
    notes: Mapping[str, str]
    """The file's `__metadata__`."""

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def any(self, *parts: str) -> bool:
        """Whether some tensor's name has one of these parts."""
        return any(part in name for name in self.shapes for part in parts)

    def begins(self, prefix: str) -> bool:
        """Whether some tensor's name begins so."""
        return any(name.startswith(prefix) for name in self.shapes)


def read_header(name: str, read: Reader, size: int) -> WeightsHeader:
    """The header of a file of `size` bytes; `name` is for messages. Raises BadWeights."""
    start = read(0, LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if len(start) < LENGTH_BYTES or not 2 <= length <= LONGEST_HEADER or LENGTH_BYTES + length > size:
        raise BadWeights(name, "it has no header")
    try:
        document: dict[str, Any] = json.loads(read(LENGTH_BYTES, length))
        notes = {str(key): str(value) for key, value in document.pop("__metadata__", {}).items()}
        ends = [int(entry["data_offsets"][1]) for entry in document.values()]
        shapes = {key: tuple(int(side) for side in entry["shape"]) for key, entry in document.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadWeights(name, "its header cannot be read") from error
    expected = LENGTH_BYTES + length + max(ends, default=0)
    if expected > size:
        raise BadWeights(name, f"it ends after {size} bytes, where its header tells of {expected}")
    return WeightsHeader(shapes, notes)
