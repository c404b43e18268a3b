"""Who is who from frame to frame: what a detector found in single frames becomes tracks, with their gaps filled.

A track is carried on at its own speed. In each frame, tracks and what was found are paired so that the sum of what is
unlike is least (Kuhn, "The Hungarian method for the assignment problem", 1955): distance from where the track should
be, size and, where known, colors. No randomness, and no order but that of frames has a part in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from farm.detail.box import BBox, Box
from farm.detail.detections import U8, Found, Shape, likeness, whole_pixels
from farm.detail.resample import resize_mask

REACH, REACH_PER_FRAME, FAR = 1.2, 0.2, 3.0
"""Sides of its box that something may be off its expected place: after one frame, for each further one, at most."""
GROWTH = 2.0
"""By how much a side may grow or shrink between two sightings, at most."""
ALIKE = 0.25
"""Share of colors that two sightings of one thing have in common, at least."""
CUT = 0.5
"""Share of colors that neighboring frames of one scene have in common, at least."""
OF_SIZE, OF_LOOK = 0.5, 1.0
"""Weights of size and colors beside distance, each between 0 and 1."""
STEADY = 0.5
"""Weight of the newest motion in a track's speed."""
NEVER = 1e6
"""Cost of a pair that cannot be."""


@dataclass(frozen=True, eq=False)
class Looked:
    """A frame that a detector has looked at."""

    position: int
    colors: U8
    """Of the whole frame, by which cuts are seen."""
    found: tuple[Found, ...]


@dataclass(frozen=True)
class TrackRule:
    """What makes a track."""

    max_gap: int
    """Frames between two sightings, at most."""
    every: int = 1
    """Each n-th frame was looked at; gaps up to the next look are no gaps."""
    min_frames: int = 1
    """Frames from the first sighting to the last, at least."""

    @property
    def longest(self) -> int:
        """Frames without a sighting that end no track."""
        return max(self.max_gap, self.every - 1)


@dataclass(frozen=True, eq=False)
class Placed:
    """Something in one frame."""

    position: int
    found: Found
    filled: bool = False
    """It was not found there, but before and after."""


@dataclass(eq=False)
class _Track:
    seen: list[Placed] = field(default_factory=list)
    speed: tuple[float, float] = (0.0, 0.0)
    """Pixels per frame."""
    look: U8 | None = None

    @property
    def last(self) -> Placed:
        return self.seen[-1]

    def add(self, position: int, found: Found) -> None:
        if self.seen:
            (x, y), (was_x, was_y) = _center(found.bbox), _center(self.last.found.bbox)
            frames = position - self.last.position
            now = (x - was_x) / frames, (y - was_y) / frames
            share = 1.0 if len(self.seen) == 1 else STEADY
            old = self.speed
            self.speed = share * now[0] + (1 - share) * old[0], share * now[1] + (1 - share) * old[1]
        self.seen.append(Placed(position, found))
        self.look = found.look if found.look is not None else self.look

    def expected(self, position: int) -> tuple[float, float]:
        frames = position - self.last.position
        x, y = _center(self.last.found.bbox)
        return x + self.speed[0] * frames, y + self.speed[1] * frames


def tracked(frames: Sequence[Looked], rule: TrackRule) -> list[list[Placed]]:
    """What was found, by who or what it is; numbered by first frame, then from left to right, then from the top.

    A track ends where it is not seen for more than `rule.longest` frames, and at a cut. Gaps inside are filled: boxes
    go straight from where it was last seen to where it was seen again.

    Args:
        frames: in order of position.
    """
    ended: list[_Track] = []
    alive: list[_Track] = []
    before: Looked | None = None
    for frame in frames:
        cut = before is not None and likeness(before.colors, frame.colors) < CUT
        over = [track for track in alive if cut or frame.position - track.last.position - 1 > rule.longest]
        ended += over
        alive = [track for track in alive if track not in over]
        alive += _carried_on(alive, frame)
        before = frame
    kept = [track.seen for track in ended + alive if _span(track) + rule.every - 1 >= rule.min_frames]
    kept.sort(key=lambda seen: (seen[0].position, *seen[0].found.bbox))
    return [list(_without_gaps(seen)) for seen in kept]


def _span(track: _Track) -> int:
    return track.last.position - track.seen[0].position + 1


def _carried_on(alive: Sequence[_Track], frame: Looked) -> list[_Track]:
    """Add what was found to the tracks that it belongs to; new tracks for the rest."""
    costs = np.full((len(alive), len(frame.found)), NEVER)
    for row, track in enumerate(alive):
        for column, found in enumerate(frame.found):
            costs[row, column] = _unlike(track, frame.position, found)
    rows, columns = linear_sum_assignment(costs)
    taken = set()
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if costs[row, column] < NEVER:
            alive[row].add(frame.position, frame.found[column])
            taken.add(column)
    new = []
    for column, found in enumerate(frame.found):
        if column not in taken:
            new.append(_Track())
            new[-1].add(frame.position, found)
    return new


def _unlike(track: _Track, position: int, found: Found) -> float:
    """0 for the same, `NEVER` where it cannot be the same."""
    last = track.last.found
    if last.label != found.label:
        return NEVER
    side, own = math.sqrt(_area(last.bbox)), math.sqrt(_area(found.bbox))
    reach = min(REACH + REACH_PER_FRAME * (position - track.last.position - 1), FAR) * (side + own) / 2
    distance = math.dist(track.expected(position), _center(found.bbox)) / reach
    growth = abs(math.log(own / side)) / math.log(GROWTH)
    common = likeness(track.look, found.look) if track.look is not None and found.look is not None else 1.0
    if distance > 1 or growth > 1 or common < ALIKE:
        return NEVER
    return distance + OF_SIZE * growth + OF_LOOK * (1 - common)


def _without_gaps(seen: Sequence[Placed]) -> Iterator[Placed]:
    for one, other in pairwise(seen):
        yield one
        for position in range(one.position + 1, other.position):
            yield Placed(position, _between(one, other, position), filled=True)
    yield seen[-1]


def _between(one: Placed, other: Placed, position: int) -> Found:
    """What stands between two sightings; its shape is the nearer one's."""
    share = (position - one.position) / (other.position - one.position)
    ends = zip(one.found.bbox, other.found.bbox, strict=True)
    x1, y1, x2, y2 = (a + (b - a) * share for a, b in ends)
    nearer = one.found if share <= 0.5 else other.found
    return replace(
        nearer,
        bbox=(x1, y1, x2, y2),
        confidence=min(one.found.confidence, other.found.confidence),
        shape=_moved(nearer, (x1, y1, x2, y2)),
    )


def _moved(found: Found, bbox: BBox) -> Shape | None:
    """A thing's shape as it is where its box is another."""
    if found.shape is None:
        return None
    wide = (bbox[2] - bbox[0]) / max(found.bbox[2] - found.bbox[0], 1e-6)
    high = (bbox[3] - bbox[1]) / max(found.bbox[3] - found.bbox[1], 1e-6)
    own, x, y = found.shape.at, found.bbox[0], found.bbox[1]
    at = whole_pixels(
        (
            bbox[0] + (own.x1 - x) * wide,
            bbox[1] + (own.y1 - y) * high,
            bbox[0] + (own.x2 - x) * wide,
            bbox[1] + (own.y2 - y) * high,
        )
    )
    at = Box(at.x1, at.y1, max(at.x1 + 1, at.x2), max(at.y1 + 1, at.y2))
    return Shape(at, resize_mask(found.shape.mask, at.width, at.height))


def _center(box: BBox) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _area(box: BBox) -> float:
    """At least one pixel, so that sides can be compared."""
    return max(1.0, (box[2] - box[0]) * (box[3] - box[1]))
