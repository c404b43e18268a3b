"""Ultralytics' detectors and segmenters, as .onnx files, on a CPU. What they give is decoded here, from its documented
layout (`farm.adapters.yolo_layout`).
"""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from farm.adapters.model_sources import LocalFiles
from farm.adapters.yolo_layout import DETECTOR, YoloLayout, yolo_layout
from farm.detail.box import BBox, Box
from farm.detail.detections import U8, Found, Shape, clipped, look_of, strongest
from farm.errors import Rejected
from workers.detectors.scaling import Canvas, letterboxed

F32 = NDArray[np.float32]
GROUND = 114
"""Gray around the picture on the canvas: what these networks were trained with."""
OVERLAP = 0.7
"""Of two boxes of one class that overlap more (IoU), one is the other."""
MOST = 300
"""Boxes of a picture."""
FAR = 8192.0
"""Pixels by which the boxes of a class are moved while those that overlap are sorted out: classes do not meet."""
MARKED = 0.5
"""Level above which a pixel belongs to what was found."""


class Yolo:
    """Finds what it was trained to find. Safe for threads."""

    def __init__(self, folder: Path, name: str) -> None:
        """
        Args:
            folder: with the file.   name: for messages.
        Raises:
            Rejected: its network cannot be run.
        """
        self._name = name
        path = folder / DETECTOR
        self.layout = yolo_layout(LocalFiles({DETECTOR: path}).network(DETECTOR), name)
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(path.read_bytes(), dtype=np.uint8))
            self._outputs = self._net.getUnconnectedOutLayersNames()
        except cv2.error as error:
            raise self._unusable(error) from None
        self._lock = threading.Lock()

    def find(self, picture: U8, threshold: float) -> list[Found]:
        """See `Detector`. Raises Rejected: the network cannot be run, or gives something else than its header says."""
        canvas = letterboxed(picture, self.layout.width, self.layout.height, GROUND)
        blob = np.ascontiguousarray(canvas.pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
        with self._lock:
            try:
                self._net.setInput(blob)
                given = [np.array(out, dtype=np.float32) for out in self._net.forward(self._outputs)]
            except cv2.error as error:
                raise self._unusable(error) from None
        rows = next((out[0] for out in given if out.ndim == 3), None)
        masks = next((out[0] for out in given if out.ndim == 4), None)
        if rows is None or (masks is None) != (self.layout.coefficients == 0):
            raise self._unusable(f"it gave {[out.shape for out in given]}")
        boxes, scores, classes, weights = _candidates(rows, self.layout, threshold)
        return self._found(picture, canvas, (boxes, scores, classes), weights, masks)

    def _found(
        self, picture: U8, canvas: Canvas, given: tuple[F32, F32, NDArray[np.int64]], weights: F32, masks: F32 | None
    ) -> list[Found]:
        boxes, scores, classes = given
        apart = boxes + (classes[:, None] * np.float32(FAR)).astype(np.float32)
        back, found = canvas.back(boxes), list[Found]()
        for number in strongest(apart, scores, 1.0 if self.layout.ready else OVERLAP, MOST):
            box = clipped(back[number], picture.shape[1], picture.shape[0])
            if box[2] - box[0] < 1 or box[3] - box[1] < 1:
                continue
            shape = None if masks is None else _shape(weights[number], masks, canvas, box, picture.shape[:2])
            label = self._label(int(classes[number]))
            found.append(Found(box, label, float(scores[number]), shape, look_of(picture, box)))
        return found

    def _label(self, number: int) -> str:
        return self.layout.labels[number] if number < len(self.layout.labels) else str(number)

    def _unusable(self, fault: object) -> Rejected:
        return Rejected(
            f"The detector {self._name!r} cannot be run here: {str(fault).strip()[:300]}. Export it anew as float32, "
            f"with plain operations: yolo export model=FILE.pt format=onnx opset=12 simplify=True."
        )


def _candidates(rows: F32, layout: YoloLayout, threshold: float) -> tuple[F32, F32, NDArray[np.int64], F32]:
    """Boxes `[n, 4]` (corners, on the canvas), scores, classes and weights of masks, of at least `threshold`."""
    if layout.ready:
        kept = rows[rows[:, 4] >= max(threshold, 1e-6)]
        return kept[:, :4], np.clip(kept[:, 4], 0, 1), kept[:, 5].astype(np.int64), kept[:, 6:]
    classes = len(layout.labels)
    best = rows[4 : 4 + classes].max(axis=0)
    kept = rows[:, best >= max(threshold, 1e-6)].T
    scores = kept[:, 4 : 4 + classes]
    half = kept[:, 2:4] / 2
    boxes = np.concatenate([kept[:, :2] - half, kept[:, :2] + half], axis=1)
    return boxes, np.clip(scores.max(axis=1), 0, 1), scores.argmax(axis=1), kept[:, 4 + classes :]


def _shape(weights: F32, masks: F32, canvas: Canvas, box: BBox, picture: tuple[int, ...]) -> Shape:
    """The mask of a box: the sum of the network's masks by its weights, without the ground around the picture, scaled
    to the picture, and cut to the box."""
    rows, columns = canvas.pixels.shape[:2]
    level = np.tensordot(weights, masks, axes=1)
    level = np.asarray(1 / (1 + np.exp(-np.clip(level, -60, 60))), dtype=np.float32)
    by_y, by_x = level.shape[0] / rows, level.shape[1] / columns
    height, width = picture[0] * canvas.scale, picture[1] * canvas.scale
    top, left = round(canvas.top * by_y), round(canvas.left * by_x)
    bottom, right = round((canvas.top + height) * by_y), round((canvas.left + width) * by_x)
    inner = level[top : max(top + 1, bottom), left : max(left + 1, right)]
    x1, y1, x2, y2 = (int(np.floor(box[0])), int(np.floor(box[1])), int(np.ceil(box[2])), int(np.ceil(box[3])))
    whole = np.asarray(cv2.resize(inner, (picture[1], picture[0]), interpolation=cv2.INTER_LINEAR))
    return Shape(Box(x1, y1, x2, y2), (whole[y1:y2, x1:x2] > MARKED).astype(np.float32))
