"""What a .onnx file says of itself: inputs, outputs, notes. Read from the file's own fields, no weights, no onnx.

Source:
    ONNX's `onnx.proto3` (field numbers) and Protocol Buffers' encoding: a field is a key (number << 3 | kind) and a
    varint, 8 or 4 bytes, or a length and as many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farm.adapters.weights_header import Reader
from farm.errors import Rejected

BLOCK = 1 << 16
"""Bytes that are read at once."""
MOST_FIELDS = 200_000
"""Fields of one message that are looked at."""
LONGEST = 1 << 22
"""Bytes of a field that is read whole: names, notes, shapes."""
VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
"""Kinds of fields."""
_MODEL_GRAPH, _MODEL_NOTES = 7, 14
_GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME, _TENSOR_LOCATION = 8, 14
_EXTERNAL = 1
"""Where a tensor's bytes lie: in another file."""

Shape = tuple[int | None, ...]
"""Sides; None where any is taken."""


class BadOnnx(Rejected):
    """A .onnx file that cannot be read."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name!r} is no sound .onnx file: {fault}. Export it again, into one file.")


@dataclass(frozen=True)
class OnnxHeader:
    """What a network takes and gives."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    notes: Mapping[str, str]
    """Its `metadata_props`."""


def read_onnx(name: str, read: Reader, size: int) -> OnnxHeader:
    """The header of a file of `size` bytes; `name` is for messages. Raises BadOnnx."""
    file = _File(name, read, size)
    notes: dict[str, str] = {}
    inputs: dict[str, Shape] = {}
    outputs: dict[str, Shape] = {}
    weights: set[str] = set()
    for number, start, end in file.fields(0, size):
        if number == _MODEL_NOTES:
            key, value = file.texts(start, end, (1, 2))
            notes[key] = value
        elif number == _MODEL_GRAPH:
            for part, first, last in file.fields(start, end):
                if part in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                    (inputs if part == _GRAPH_INPUT else outputs).update([file.value(first, last)])
                elif part == _GRAPH_TENSOR:
                    weights.add(file.tensor(first, last))
    if not outputs:
        raise BadOnnx(name, "it has no network with outputs")
    # Old exports list their weights among the inputs.
    return OnnxHeader({key: shape for key, shape in inputs.items() if key not in weights}, outputs, notes)


class _File:
    """Fields of messages, read where they are asked for."""

    def __init__(self, name: str, read: Reader, size: int) -> None:
        self._name = name
        self._read = read
        self._size = size
        self._start, self._block = 0, b""

    def fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number, begin and end of a message's fields that have bytes; begin is the value, end -1, of numbers."""
        at = start
        for _ in range(MOST_FIELDS):
            if at >= end:
                return
            key, at = self._varint(at, end)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, at = self._varint(at, end)
                yield number, value, -1
            elif kind == LENGTH:
                length, at = self._varint(at, end)
                if at + length > end:
                    raise BadOnnx(self._name, f"it ends after {self._size} bytes, within a field")
                yield number, at, at + length
                at += length
            elif kind in (EIGHT, FOUR):
                at += 8 if kind == EIGHT else 4
            else:
                raise BadOnnx(self._name, "it is not made of ONNX's fields")
        raise BadOnnx(self._name, f"it has more than {MOST_FIELDS:,} fields in one place")

    def texts(self, start: int, end: int, wanted: tuple[int, ...]) -> tuple[str, ...]:
        """The text fields of these numbers; empty where there is none."""
        found = {number: self._text(first, last) for number, first, last in self.fields(start, end) if last >= 0}
        return tuple(found.get(number, "") for number in wanted)

    def value(self, start: int, end: int) -> tuple[str, Shape]:
        """Name and shape of an input or output: ValueInfoProto."""
        name, shape = "", list[int | None]()
        for number, first, last in self.fields(start, end):
            if number == 1 and last >= 0:
                name = self._text(first, last)
            elif number == 2 and last >= 0:  # type; of it tensor_type, shape, dimensions, each one in the other
                for one in self._inside(self._inside(self._inside([(first, last)], 1), 2), 1):
                    shape.append(self._side(*one))
        return name, tuple(shape)

    def tensor(self, start: int, end: int) -> str:
        """Name of a tensor of the network's weights. Raises BadOnnx: its bytes are in another file."""
        name = ""
        for number, first, last in self.fields(start, end):
            if number == _TENSOR_NAME and last >= 0:
                name = self._text(first, last)
            if number == _TENSOR_LOCATION and last < 0 and first == _EXTERNAL:
                raise BadOnnx(self._name, "its weights are in another file")
        return name

    def _inside(self, spans: list[tuple[int, int]], wanted: int) -> list[tuple[int, int]]:
        return [
            (first, last)
            for start, end in spans
            for number, first, last in self.fields(start, end)
            if number == wanted and last >= 0
        ]

    def _side(self, start: int, end: int) -> int | None:
        values = [value for number, value, last in self.fields(start, end) if number == 1 and last < 0]
        return values[0] if values and values[0] > 0 else None

    def _text(self, start: int, end: int) -> str:
        if end - start > LONGEST:
            raise BadOnnx(self._name, f"it has a text of {end - start:,} bytes")
        return self._bytes(start, end - start).decode("utf-8", "replace")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise BadOnnx(self._name, f"it ends after {self._size} bytes, within a field")
            byte = self._byte(at)
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise BadOnnx(self._name, "it is not made of ONNX's fields")

    def _byte(self, at: int) -> int:
        if not self._start <= at < self._start + len(self._block):
            self._start, self._block = at, self._read(at, BLOCK)
            if not self._block:
                raise BadOnnx(self._name, f"it ends after {at} bytes")
        return self._block[at - self._start]

    def _bytes(self, start: int, length: int) -> bytes:
        inside = start - self._start
        if inside >= 0 and inside + length <= len(self._block):
            return self._block[inside : inside + length]
        return self._read(start, length)
