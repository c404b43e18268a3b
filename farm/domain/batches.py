"""Which crops are sampled together, and which wait for which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from farm.detail.depends import NOTHING, Writes, dependences, levels
from farm.detail.segs import Seg
from farm.domain.job import Source
from farm.domain.keyframes import PLAIN, Setting

Size = tuple[int, int]
"""Width, height in pixels."""


@dataclass(frozen=True, eq=False)
class Spot:
    """One segment in one frame."""

    source: Source
    order: int
    """Position of its source in the job."""
    index: int
    """Position in its source, skipped ones counted; of what is known from frame to frame, its number there."""
    frame: int
    seg: Seg
    mask: int
    """Member of the plan's masks."""
    written: Writes
    prompt: tuple[str, ...] = ()
    """Its own texts; none: its source's."""
    seed: int | None = None
    """In place of the one that its position gives it."""
    setting: Setting = PLAIN
    """What parameters with key frames are in its frame; they are in its source already."""
    toward: tuple[str, ...] = ()
    """Texts that its own fade into."""
    piece: int = -1
    """Which of the job's ranges its source is that of; -1: of none."""

    @property
    def at(self) -> tuple[int, int, int]:
        """Source order, index, frame: unique in a chunk."""
        return self.order, self.index, self.frame

    @property
    def alike(self) -> tuple[object, ...]:
        """What must be equal in a batch, besides size and source; those of one source can be put in order."""
        return self.prompt, self.setting.values, self.toward, self.setting.share


Needs = Mapping[tuple[int, int, int], Sequence[Spot]]
"""(source order, index, frame) -> the earlier spots of that frame whose pixels it reads, in order."""
Rows = Mapping[int, Sequence[Spot]]
"""Frame position -> its spots in the order in which they are pasted."""


def needs(rows: Rows) -> Needs:
    """What each spot reads of earlier ones: the exact rule, per frame."""
    needed = {}
    for row in rows.values():
        waiting = dependences([s.seg.crop_region for s in row], [s.written for s in row])
        for spot, earlier in zip(row, waiting, strict=True):
            needed[spot.at] = [row[i] for i in earlier]
    return needed


def all_earlier(rows: Rows) -> Needs:
    """The same where a hook may change any pixel of a frame: all that is pasted before."""
    return {
        spot.at: [earlier for earlier in row[:place] if earlier.written is not NOTHING]
        for row in rows.values()
        for place, spot in enumerate(row)
    }


def one_by_one(rows: Rows) -> list[list[Spot]]:
    """Each crop by itself, frame after frame, in the order in which they are pasted."""
    return [[spot] for frame in sorted(rows) for spot in rows[frame] if spot.written is not NOTHING]


def segment_batches(rows: Rows) -> list[list[Spot]]:
    """One batch per segment over all frames; a segment that is marked in none of them is left out."""
    batches: dict[tuple[int, int], list[Spot]] = {}
    for row in rows.values():
        for spot in row:
            batches.setdefault((spot.order, spot.index), []).append(spot)
    ordered = [group for _, group in sorted(batches.items(), key=lambda item: item[0])]
    return [group for group in ordered if any(s.written is not NOTHING for s in group)]


def frame_batches(
    rows: Rows,
    needed: Needs,
    size: Callable[[Spot], Size],
    limit: int,
    wanted: Callable[[Spot], bool] = lambda _: True,
) -> list[list[Spot]]:
    """Batches of at most `limit` crops, in an order in which each comes after those that it waits for.

    Crops share a batch if they are of one source with one set of parameters, of one level of the order, sampled at one
    size with one prompt and one setting, and wait for the same sources: so that a change to one segment never touches a
    crop that does not read it.

    Args:
        wanted: which crops are put into batches.
    """
    groups: dict[tuple[int, int, int, Size, tuple[int, ...], tuple[object, ...], int], list[Spot]] = {}
    for row in rows.values():
        position = {spot.at: i for i, spot in enumerate(row)}
        waiting = [[position[earlier.at] for earlier in needed[spot.at]] for spot in row]
        for spot, level, behind in zip(row, levels(waiting), _ancestors(row, waiting), strict=True):
            if spot.written is not NOTHING and wanted(spot):
                entry = spot.index if spot.source.kind != "mask" else -1
                like = (level, spot.order, entry, size(spot), behind, spot.alike, spot.piece)
                groups.setdefault(like, []).append(spot)
    ordered = [group for _, group in sorted(groups.items(), key=lambda item: item[0])]
    return [group[start : start + limit] for group in ordered for start in range(0, len(group), limit)]


def _ancestors(row: Sequence[Spot], waiting: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """For each spot the sources that it waits for, directly or not."""
    behind: list[frozenset[int]] = []
    for earlier in waiting:
        sources = frozenset(row[i].order for i in earlier)
        behind.append(sources.union(*(behind[i] for i in earlier)))
    return [tuple(sorted(sources)) for sources in behind]
