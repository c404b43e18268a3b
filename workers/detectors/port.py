"""What every detector is: something that looks at a picture."""

from __future__ import annotations

from typing import Protocol

from farm.detail.detections import U8, Found


class Detector(Protocol):
    """Looks at one picture at a time. The same picture gives the same answer."""

    def find(self, picture: U8, threshold: float) -> list[Found]:
        """What is in a picture `[H, W, 3]` (RGB, uint8) with at least a confidence of `threshold`, the surest first."""
