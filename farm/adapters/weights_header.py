"""What a `.safetensors` file holds, read from its first bytes: no torch, no weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farm.errors import Rejected

LONGEST_HEADER = 16 << 20
"""Bytes: a checkpoint of SDXL has 0.4 million. The format's own limit, 100 million, takes a gigabyte as objects."""
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
    if len(start) < LENGTH_BYTES or length < 2 or LENGTH_BYTES + length > size:
        raise BadWeights(name, "it has no header")
    if length > LONGEST_HEADER:
        raise BadWeights(name, f"its header has {length:,} bytes, where {LONGEST_HEADER:,} are read")
    try:
        document: dict[str, Any] = json.loads(read(LENGTH_BYTES, length))
        notes = {str(key): str(value) for key, value in document.pop("__metadata__", {}).items()}
        places = sorted(_place(entry) for entry in document.values())
        shapes = {key: tuple(int(side) for side in entry["shape"]) for key, entry in document.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise BadWeights(name, "its header cannot be read") from error
    expected = LENGTH_BYTES + length + _end(name, places)
    if expected > size:
        raise BadWeights(name, f"it ends after {size} bytes, where its header tells of {expected}")
    return WeightsHeader(shapes, notes)


def _place(entry: dict[str, Any]) -> tuple[int, int]:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    return begin, end


def _end(name: str, places: Sequence[tuple[int, int]]) -> int:
    """Where the last tensor ends. They lie one behind the other, as the format has it: none over another."""
    last = 0
    for begin, end in places:
        if not 0 <= begin <= end:
            raise BadWeights(name, f"a tensor lies from byte {begin} to byte {end}")
        if begin < last:
            raise BadWeights(name, f"two tensors lie over each other, at byte {begin}")
        last = end
    return last
