"""The page about ComfyUI names what the code carries."""

from __future__ import annotations

import re
from pathlib import Path

from farm.comfy import detailers, detectors, hooks, lines, motion, pictures, pipes, segs

PAGE = Path(__file__).resolve().parents[3] / "docs" / "comfyui.md"


def test_every_node_that_is_carried_is_on_the_page() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    carried = {
        *detailers.DETAILERS,
        *detectors.DETECTORS,
        *detectors.PROVIDERS,
        *hooks.PROVIDERS,
        *hooks.SEGS_FILTERS,
        *(name for name, _ in lines.MODEL_STEPS),
        *(name for name, _ in lines.CLIP_STEPS),
        *motion.CONTEXTS,
        *motion.APPLIED,
        *motion.MOTION_LORAS,
        *(name for name, _ in pipes.PIPES),
        *pipes.UNPACKED,
        *segs.MASKS,
        *segs.NETS,
        *segs.CONCATS,
        *(name for name, _ in pictures.LOADERS if "FFmpeg" not in name),
    }
    assert sorted(carried - told) == []
