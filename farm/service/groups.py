"""The runs of frames in which a media is ingested. Any question about one costs the same for any length of clip."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

from farm.domain.keys import INGEST_GROUP, INGEST_RUN, PARTS_OF_GROUP
from farm.domain.media import Group, Media

KEPT = 16
"""Videos whose runs are kept in memory."""


def group_at(media: Media, number: int) -> Group:
    """Run number `number`, from 0; IndexError if there is none."""
    if media.groups:
        return _runs(_Groups(media.groups))[number]
    start = number * INGEST_GROUP
    if not 0 <= start < media.frames:
        raise IndexError(f"run {number} of {-(-media.frames // INGEST_GROUP)}")
    return Group(start=start, frames=min(INGEST_GROUP, media.frames - start))


def numbers(media: Media, first: int, last: int) -> range:
    """Numbers of the runs that hold the positions first .. last (inclusive) of the media."""
    if not media.groups:
        return range(first // INGEST_GROUP, last // INGEST_GROUP + 1)
    runs = _runs(_Groups(media.groups))
    return range(_holding(runs, first), _holding(runs, last) + 1)


def all_groups(media: Media) -> Iterator[Group]:
    """All runs of a media, in order."""
    return (group_at(media, number) for number in numbers(media, 0, media.frames - 1))


def _holding(runs: tuple[Group, ...], position: int) -> int:
    return bisect_right(runs, position, key=lambda run: run.start) - 1


class _Groups:
    """A video's groups of pictures, the same only as themselves: comparing thousands would cost what is saved."""

    def __init__(self, groups: tuple[Group, ...]) -> None:
        self.groups = groups

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Groups) and self.groups is other.groups

    def __hash__(self) -> int:
        return id(self.groups)


@lru_cache(maxsize=KEPT)
def _runs(of: _Groups) -> tuple[Group, ...]:
    """A video's groups of pictures, divided where they are long: decoding up to a run costs less than encoding frames
    that nobody asked for, and runs are shared between workers. At most `PARTS_OF_GROUP` times, so that a clip of one
    endless group is not decoded over and over.
    """
    return tuple(
        part for group in of.groups for part in _divided(group, max(INGEST_RUN, -(-group.frames // PARTS_OF_GROUP)))
    )


def _divided(group: Group, step: int) -> list[Group]:
    end = group.start + group.frames
    return [Group(start=start, frames=min(step, end - start)) for start in range(group.start, end, step)]
