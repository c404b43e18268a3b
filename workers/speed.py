"""How fast a worker samples: told with its signs of life, so that a job's chunks can be chosen by it."""

from __future__ import annotations

import threading

LATEST = 0.3
"""Weight of the latest task; the mean forgets what was more than some ten tasks ago."""
TOO_SHORT_S = 1e-3
"""Seconds; what took less says nothing about speed."""


class Speed:
    """A running mean over detail tasks. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._per_s = 0.0

    @property
    def per_s(self) -> float:
        """Sampled pixels times steps per second; 0 before the first task."""
        with self._lock:
            return self._per_s

    def note(self, pixel_steps: int, seconds: float) -> None:
        """A task is done."""
        if seconds < TOO_SHORT_S:
            return
        with self._lock:
            latest = pixel_steps / seconds
            self._per_s = latest if not self._per_s else (1 - LATEST) * self._per_s + LATEST * latest
