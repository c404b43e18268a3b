"""Pictures of a sequence are looked at side by side; what is found must not depend on who is first."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.adapters import media_sequence
from farm.adapters.media import admit_pictures, limits_of
from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.pictures import decode_mask, encode_png
from farm.settings import Settings


def test_a_mask_is_not_empty_however_late_its_dark_frames_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    lit = threading.Event()

    def slow_if_dark(data: bytes, max_pixels: int) -> NDArray[np.float32]:
        mask = decode_mask(data, max_pixels)
        if mask.any():
            lit.set()
        else:
            assert lit.wait(60)
            time.sleep(0.05)
        return mask

    monkeypatch.setattr(media_sequence, "decode_mask", slow_if_dark)
    pictures = [
        (f"{number}.png", encode_png(np.full((6, 8), value, np.uint8))) for number, value in enumerate((0, 255, 0))
    ]
    assert not admit_pictures(pictures, "mask", MemoryBlobs(), limits_of(Settings.read())).empty
