"""Tiny .onnx files, written field by field: detectors of bright squares, in the layout of YOLO's exports.

A picture of 64x64 px has 8x8 cells; the score of a cell is the largest red value in it, so that what was fed, and
where, can be read off what is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE, CELL = 64, 8
CELLS = (SIDE // CELL) ** 2
COEFFICIENTS = 32


def square_finder(
    path: Path, notes: Mapping[str, str] | None = None, *, masks: bool = False, classes: int = 1, ready: bool = False
) -> Path:
    """Write a network that finds bright cells: each is a box of its cell, and of twice its size if it is `ready`.

    Args:
        classes: the first is scored by red, the second by green.
        masks: a segmenter; the first of its masks is the red of the picture.
        ready: the output is `[1, N, 6]`.
    """
    nodes, weights, outputs = _grid(classes)
    if masks:
        filters = np.zeros((COEFFICIENTS, 3, 4, 4), dtype=np.float32)
        filters[0, 0] = 1 / 16
        bias = np.zeros(COEFFICIENTS, dtype=np.float32)
        bias[0] = -0.5
        use = np.zeros((1, COEFFICIENTS, CELLS), dtype=np.float32)
        use[0, 0] = 40
        weights |= {"filters": filters, "bias": bias, "use": use}
        nodes.append(_node("Conv", ["images", "filters", "bias"], ["output1"], strides=[4, 4], kernel_shape=[4, 4]))
        nodes.append(_node("Concat", ["boxes", "scores", "use"], ["output0"], axis=1))
        outputs = {
            "output0": (1, 4 + classes + COEFFICIENTS, CELLS),
            "output1": (1, COEFFICIENTS, SIDE // 4, SIDE // 4),
        }
    elif ready:
        weights["class"] = np.zeros((1, 1, CELLS), dtype=np.float32)
        weights["boxes"] = _corners()
        nodes.append(_node("Concat", ["boxes", "scores", "class"], ["columns"], axis=1))
        nodes.append(_node("Transpose", ["columns"], ["output0"], perm=[0, 2, 1]))
        outputs = {"output0": (1, CELLS, 6)}
    else:
        nodes.append(_node("Concat", ["boxes", "scores"], ["output0"], axis=1))
    return written(path, nodes, weights, {"images": (1, 3, SIDE, SIDE)}, outputs, notes or {})


def written(
    path: Path,
    nodes: Sequence[bytes],
    weights: Mapping[str, NDArray[np.generic]],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    notes: Mapping[str, str],
) -> Path:
    """Write a network."""
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"graph")
    graph += b"".join(_field(5, _tensor(name, values)) for name, values in weights.items())
    graph += b"".join(_field(11, _value(name, shape)) for name, shape in inputs.items())
    graph += b"".join(_field(12, _value(name, shape)) for name, shape in outputs.items())
    model = _number(1, 8) + _field(2, b"tests") + _field(7, graph) + _field(8, _number(2, 12))
    model += b"".join(_field(14, _field(1, key.encode()) + _field(2, text.encode())) for key, text in notes.items())
    path.write_bytes(model)
    return path


def _grid(classes: int) -> tuple[list[bytes], dict[str, NDArray[np.generic]], dict[str, tuple[int, ...]]]:
    """Boxes and scores of all cells."""
    pick = np.zeros((classes, 3, 1, 1), dtype=np.float32)
    for number in range(classes):
        pick[number, number] = 1
    y, x = np.divmod(np.arange(CELLS), SIDE // CELL)
    middle = np.stack([x, y]) * CELL + CELL / 2
    boxes = np.concatenate([middle, np.full((2, CELLS), CELL)]).astype(np.float32)[None]
    nodes = [
        _node("Conv", ["images", "pick"], ["picked"], kernel_shape=[1, 1], strides=[1, 1]),
        _node("MaxPool", ["picked"], ["pooled"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        _node("Reshape", ["pooled", "flat"], ["scores"]),
    ]
    flat = np.array([1, classes, CELLS], dtype=np.int64)
    return nodes, {"pick": pick, "boxes": boxes, "flat": flat}, {"output0": (1, 4 + classes, CELLS)}


def _corners() -> NDArray[np.generic]:
    y, x = np.divmod(np.arange(CELLS), SIDE // CELL)
    low = np.stack([x, y]) * CELL
    return np.concatenate([low, low + 2 * CELL]).astype(np.float32)[None]


def _node(kind: str, taken: Sequence[str], given: Sequence[str], **attributes: int | Sequence[int]) -> bytes:
    found = b"".join(_field(1, name.encode()) for name in taken) + b"".join(_field(2, name.encode()) for name in given)
    found += _field(3, given[0].encode()) + _field(4, kind.encode())
    for name, value in attributes.items():
        if isinstance(value, int):
            body = _number(3, value) + _number(20, 2)
        else:
            body = b"".join(_number(8, one) for one in value) + _number(20, 7)
        found += _field(5, _field(1, name.encode()) + body)
    return found


def _tensor(name: str, values: NDArray[np.generic]) -> bytes:
    kind = 7 if values.dtype == np.int64 else 1
    sides = b"".join(_number(1, side) for side in values.shape)
    return sides + _number(2, kind) + _field(8, name.encode()) + _field(9, np.ascontiguousarray(values).tobytes())


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sides = [_field(2, side.encode()) if isinstance(side, str) else _number(1, side) for side in shape]
    tensor = _number(1, 1) + _field(2, b"".join(_field(1, side) for side in sides))
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))
