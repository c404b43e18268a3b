"""Whether a .onnx file is a detector that the farm can use, and how its output is to be read.

Source:
    Ultralytics' documentation of its ONNX exports: one output `[1, 4 + classes, N]` with boxes as middle, width and
    height in pixels of the input, then a score per class; of segmenters 32 weights more for each box, and a second
    output `[1, 32, h, w]` with the masks that they are weights of. With `nms=True`, and of networks that need none, one
    output `[1, N, 6]`: corners, score, class (and the weights). Notes: `names`, `imgsz`, `task`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from farm.adapters.onnx_header import OnnxHeader, Shape
from farm.errors import Rejected

DETECTOR = "model.onnx"
"""What the one file of a detector is called in its manifest."""
DEFAULT_SIDE = 640
"""Pixels of the input's sides, where neither the network nor its notes say."""
LARGEST_SIDE = 4096
MOST_READY = 1000
"""Boxes of an output that is sorted out already."""
TASKS = ("detect", "segment")


class NoDetector(Rejected):
    """A network that is no detector, or none that the farm can read."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"{name!r} is no detector that the farm can use: {fault}. It takes Ultralytics YOLO detectors and "
            f"segmenters as .onnx: yolo export model=FILE.pt format=onnx."
        )


@dataclass(frozen=True)
class YoloLayout:
    """How a network is fed, and how its output is read."""

    width: int
    height: int
    """Of its input, pixels."""
    labels: tuple[str, ...]
    """By class."""
    coefficients: int
    """Weights of masks that each box has; 0: none, it gives boxes only."""
    ready: bool
    """Each row of its output is a box that is kept; else each column is a candidate."""


def yolo_layout(header: OnnxHeader, name: str) -> YoloLayout:
    """How the network of a file is to be used; `name` is for messages. Raises NoDetector."""
    task = header.notes.get("task", TASKS[0])
    if task not in TASKS:
        raise NoDetector(name, f"its task is {task!r}, not {' or '.join(map(repr, TASKS))}")
    taken, given = list(header.inputs.values()), list(header.outputs.values())
    if len(taken) != 1 or len(taken[0]) != 4 or taken[0][1] not in (3, None):
        raise NoDetector(name, f"it takes {_shapes(taken)} instead of one picture [1, 3, height, width]")
    flat = [shape for shape in given if len(shape) == 3]
    masks = [shape for shape in given if len(shape) == 4]
    if len(flat) != 1 or len(flat) + len(masks) != len(given) or len(masks) > 1:
        raise NoDetector(name, f"it gives {_shapes(given)} instead of boxes [1, 4 + classes, N]")
    coefficients = 0
    if masks:
        if masks[0][1] is None:
            raise NoDetector(name, f"it gives masks {_shapes(masks)}, and does not say how many")
        coefficients = masks[0][1]
    rows, columns = flat[0][1:]
    ready = columns == 6 + coefficients and (rows is None or rows <= MOST_READY)
    names = _names(header.notes.get("names", ""), name)
    if not ready:
        if rows is None or rows <= 4 + coefficients:
            raise NoDetector(name, f"it gives {_shapes(given)} instead of boxes [1, 4 + classes, N]")
        names = names or tuple(str(number) for number in range(rows - 4 - coefficients))
        if len(names) != rows - 4 - coefficients:
            raise NoDetector(name, f"it has names for {len(names)} classes and gives {_shapes(given)}")
    height, width = _sides(taken[0], header.notes.get("imgsz", ""), name)
    return YoloLayout(width, height, names, coefficients, ready)


def _names(text: str, name: str) -> tuple[str, ...]:
    """The labels of a note such as `{0: 'face', 1: 'hand'}`; none where there is no note."""
    if not text:
        return ()
    try:
        found = ast.literal_eval(text)
        pairs = sorted((int(number), str(label)) for number, label in dict(found).items())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise NoDetector(name, f"its note `names` is {text[:80]!r}") from None
    if [number for number, _ in pairs] != list(range(len(pairs))):
        raise NoDetector(name, "its note `names` leaves classes out")
    return tuple(label for _, label in pairs)


def _sides(shape: Shape, note: str, name: str) -> tuple[int, int]:
    """Height and width of the input."""
    noted = [int(part) for part in note.strip("[]() ").replace(",", " ").split() if part.isdecimal()]
    if len(noted) == 1:
        noted *= 2
    sides = [own or (noted[axis] if len(noted) == 2 else DEFAULT_SIDE) for axis, own in enumerate(shape[2:])]
    if max(sides) > LARGEST_SIDE or min(sides) < 1:
        raise NoDetector(name, f"its input is {sides[1]}x{sides[0]} px; {LARGEST_SIDE} px a side are taken")
    return sides[0], sides[1]


def _shapes(shapes: Sequence[Shape]) -> str:
    texts = ("[" + ", ".join("?" if side is None else str(side) for side in shape) + "]" for shape in shapes)
    return " and ".join(texts) or "nothing"
