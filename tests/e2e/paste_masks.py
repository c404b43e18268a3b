"""Where a job may change pixels: the paste masks of its plans, as they lie in the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farm.detail.blend import feather
from farm.domain import keys
from farm.domain.job import Job
from farm.domain.plan import Plan
from farm.ports import Blobs
from farm.service.skeleton import chunks
from workers.context import Tools
from workers.gpu.fake import FakeEngine
from workers.steps.plan import load_masks

Mask = NDArray[np.float32]


def paste_masks(blobs: Blobs, job: Job, cache: Path) -> dict[str, Mask]:
    """For each final frame the largest paste mask at each pixel, `[H, W]` in 0..1.

    Args:
        cache: an empty folder.
    """
    tools = Tools(blobs, cache, FakeEngine, 10**8)
    found = {}
    for number in range(chunks(job)):
        plan = Plan.model_validate_json(blobs.get(keys.plan(job.id, number)))
        masks = load_masks(tools, plan)
        feathered: dict[tuple[int, int], Mask] = {}
        for frame in plan.frames:
            if not plan.core[0] <= frame.position < plan.core[1]:
                continue
            union = np.zeros((job.input.height, job.input.width), dtype=np.float32)
            for ref in plan.paste[frame.position][0]:
                task = plan.task(ref.task)
                crop = task.crops[ref.crop]
                at = (crop.mask, job.source(task.source).detailer.feather)
                if at not in feathered:
                    feathered[at] = feather(masks[crop.mask], at[1])
                x1, y1, x2, y2 = crop.region
                union[y1:y2, x1:x2] = np.maximum(union[y1:y2, x1:x2], feathered[at])
            found[frame.name] = union
    return found
