"""Which segment must wait for which: only where pixels demand it.

Segment j waits for an earlier i exactly if a pixel that i writes lies in the crop that j reads. What i writes is
where its feathered paste mask is not 0: known before any model has run. Source: SPEC 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.detail.box import Box
from farm.detail.resample import Mask


@dataclass(frozen=True, eq=False)
class Writes:
    """The pixels that a paste changes: `support`, `[h, w]` of bool, at `box`; the box fits tightly."""

    box: Box
    support: NDArray[np.bool_]

    def hits(self, reads: Box) -> bool:
        """Whether one of the pixels lies in `reads`."""
        meeting = self.box.intersection(reads)
        if not meeting.area:
            return False
        return bool(self.support[meeting.shifted(-self.box.x1, -self.box.y1).slices].any())


NOTHING = Writes(Box(0, 0, 0, 0), np.zeros((0, 0), dtype=np.bool_))


def writes(paste_mask: Mask, region: Box) -> Writes:
    """What a paste of `paste_mask` at `region` changes.

    Args:
        paste_mask: the feathered mask `[h, w]`, or `[F, h, w]`: then what is written in any of the frames.
            One frame is enough to make a later segment wait, since all frames are sampled together.
    """
    changed = paste_mask != 0
    if changed.ndim == 3:
        changed = changed.any(axis=0)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return NOTHING
    tight = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Writes(tight.shifted(region.x1, region.y1), np.array(changed[tight.slices]))


def waits(earlier: Writes, reads: Box) -> bool:
    """Whether a segment that reads `reads` must wait for one, before it in order, that makes `earlier`.

    Holds for a single frame, and for all frames of a clip if the crop stays in place (see `writes`).
    """
    return earlier.hits(reads)


def dependences(regions: Sequence[Box], written: Sequence[Writes]) -> list[tuple[int, ...]]:
    """For each segment, in processing order, the earlier ones that it waits for.

    Args:
        regions: what each reads.   written: what each writes; `NOTHING` for one that is skipped.
    """
    return [tuple(i for i in range(j) if waits(written[i], region)) for j, region in enumerate(regions)]


def levels(waiting: Sequence[Sequence[int]]) -> list[int]:
    """Depth of each segment in the order: 0 if it waits for none, else one more than the deepest that it waits for.

    Segments of one level may be sampled together.
    """
    depth: list[int] = []
    for earlier in waiting:
        depth.append(1 + max((depth[i] for i in earlier), default=-1))
    return depth
