"""Tools that see pictures which no worker has ingested yet, and store nothing. Videos are not decoded for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.adapters.pictures import digest
from farm.domain.media import Group, Media
from farm.errors import NotFound, Unavailable
from farm.ports import Blobs
from farm.service.groups import all_groups, group_at, numbers
from farm.service.reading import document_name
from workers.context import Tools
from workers.gpu.engine import Engine
from workers.pictures_cache import PictureCache
from workers.steps.ingest import IngestedFrame, entry, named, of_pictures

KEPT = 8
"""Documents of groups that are kept in memory."""


class Foresight(Tools):
    """Reads what is there; of numbered pictures that were not ingested yet it finds what ingest will find."""

    def __init__(
        self, blobs: Blobs, cache: Path, max_pixels: int, media: Iterable[Media], before: Mapping[str, Media]
    ) -> None:
        """
        Args:
            media: long forms of all that is looked at.
            before: of those, by id, the media whose place they take: pictures that are the same in both are not
                decoded again.
        """
        super().__init__(blobs, cache, _no_engine, max_pixels)
        self.pictures = _Unstored(blobs, max_pixels)
        self._before = before
        self._groups = {
            document_name(one, use, group): (one, use, group)
            for one in media
            if one.pictures
            for use in ("frame", "mask")
            for group in all_groups(one)
        }
        self._seen: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def json(self, name: str) -> dict[str, Any]:
        """A JSON document; of pictures that no worker has read yet, what a worker will write. Raises NotFound."""
        try:
            return super().json(name)
        except NotFound:
            if name not in self._groups:
                raise
        if name not in self._seen:
            self._seen[name] = {"frames": self._foreseen(*self._groups[name])}
            while len(self._seen) > KEPT:
                self._seen.popitem(last=False)
        return self._seen[name]

    def lasting_json(self, name: str) -> dict[str, Any]:
        """See `json`: what is foreseen is kept here."""
        return self.json(name)

    def _foreseen(self, media: Media, use: str, group: Group) -> list[IngestedFrame]:
        known = self._known(media, use, group)
        found = []
        for position in range(group.start, group.start + group.frames):
            if position in known:
                found.append(IngestedFrame(**named(media, position), digest=known[position]))
            else:
                decoded = of_pictures(self, media, Group(start=position, frames=1), use)
                found += [entry(self, media, use, *one) for one in decoded]
        return found

    def _known(self, media: Media, use: str, group: Group) -> dict[int, str]:
        """Digests of the pictures that are the same, by position, in the media that was there before."""
        before = self._before.get(media.id)
        if before is None:
            return {}
        known: dict[int, str] = {}
        end = min(group.start + group.frames, before.frames)
        for number in numbers(before, group.start, end - 1) if group.start < end else ():
            document = super().json_or_none(document_name(before, use, group_at(before, number))) or {"frames": []}
            known |= {frame["position"]: frame["digest"] for frame in document["frames"] if "digest" in frame}
        same = range(group.start, end)
        return {at: known[at] for at in same if at in known and media.pictures[at].blob == before.pictures[at].blob}


class _Unstored(PictureCache):
    """Keeps pictures in memory only."""

    def write(self, pixels: NDArray[np.uint8]) -> str:
        """The digest of a frame, which can be read for a while."""
        name = digest(pixels)
        self._keep(name, pixels)
        return name


def _no_engine() -> Engine:
    raise Unavailable("A forecast samples nothing.")
