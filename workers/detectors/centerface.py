"""Faces, by the network that comes with the farm: CenterFace, on a CPU, a picture at a time.

Source:
    Xu, Yan, Yang et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point" (2019): a map of how much
    each point is the middle of a face, and for each point the face's size and the middle's exact place.
"""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from farm.detail.detections import U8, Found, clipped, look_of, strongest
from workers.detectors.scaling import letterboxed

WEIGHTS = Path(__file__).with_name("centerface.onnx")
STRIDE = 4
"""Pixels of the canvas per point of the network's maps."""
GRID = 32
"""Sides of the canvas are multiples of it, pixels."""
SMALLEST, LARGEST = 640, 1280
"""Longer side of the canvas, pixels: smaller pictures are enlarged, so that small faces are seen, larger ones are made
smaller, since time goes with the pixels."""
OVERLAP = 0.3
"""Of two faces that overlap more (IoU), one is the other."""
MOST = 256
"""Faces in a picture."""
LABEL = "face"


class CenterFace:
    """Finds faces. Safe for threads."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        # Read by ourselves: OpenCV cannot open every path that Python can.
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(weights.read_bytes(), dtype=np.uint8))
        self._outputs = self._net.getUnconnectedOutLayersNames()
        self._lock = threading.Lock()

    def find(self, picture: U8, threshold: float) -> list[Found]:
        """See `Detector`."""
        height, width = picture.shape[:2]
        scale = min(max(max(width, height), SMALLEST), LARGEST) / max(width, height)
        canvas = letterboxed(picture, _whole(width * scale), _whole(height * scale), 0, centered=False)
        # The network was trained on the plain levels of a picture, 0 to 255, in the order red, green, blue.
        blob = np.ascontiguousarray(canvas.pixels.transpose(2, 0, 1)[None], dtype=np.float32)
        with self._lock:
            self._net.setInput(blob)
            heat, size, offset, _ = (np.array(out) for out in self._net.forward(self._outputs))
        boxes, scores = _decoded(heat[0, 0], size[0], offset[0], threshold)
        boxes = canvas.back(boxes)
        return [
            Found(box, LABEL, float(scores[number]), look=look_of(picture, box))
            for number in strongest(boxes, scores, OVERLAP, MOST)
            if _is_some(box := clipped(boxes[number], width, height))
        ]


def _decoded(
    heat: NDArray[np.float32], size: NDArray[np.float32], offset: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes `[n, 4]` on the canvas and their scores, from the network's maps."""
    rows, columns = np.nonzero(heat >= max(threshold, 1e-6))
    high, wide = (np.exp(size[axis, rows, columns]) * STRIDE for axis in (0, 1))
    y = (rows + offset[0, rows, columns] + 0.5) * STRIDE
    x = (columns + offset[1, rows, columns] + 0.5) * STRIDE
    boxes = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], axis=1)
    return boxes.astype(np.float32), np.clip(heat[rows, columns], 0, 1)


def _whole(side: float) -> int:
    """The next side that the network takes."""
    return max(GRID, -(-round(side) // GRID) * GRID)


def _is_some(box: tuple[float, float, float, float]) -> bool:
    """Whether a pixel at least is left of a box."""
    return box[2] - box[0] >= 1 and box[3] - box[1] >= 1
