"""Which detector a name stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from farm.domain.detection import FACE
from farm.domain.model import ModelRef
from workers.detectors.centerface import CenterFace
from workers.detectors.port import Detector
from workers.detectors.yolo import Yolo


def open_detector(ref: ModelRef, folder: Callable[[str], Path]) -> Detector:
    """The detector, ready to look. Raises Rejected: it cannot be used.

    Args:
        folder: from a content hash to the folder with its files.
    """
    return CenterFace() if ref == FACE else Yolo(folder(ref.hash), ref.name)
