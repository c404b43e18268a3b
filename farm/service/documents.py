"""Documents of the store, read once: jobs and media never change after they were written."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from farm.domain import keys
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.model import KIND_NAMES, ModelKind, ModelRef
from farm.domain.segment import SegsDocument
from farm.errors import NotFound, Rejected
from farm.ports import Blobs

_T = TypeVar("_T")

KEPT = 64
"""Documents that are kept in memory."""
KEPT_BYTES = 8 * 1024 * 1024
"""Of JSON; in memory it is several times as much. The list of a clip of 20,000 pictures has 3 MB."""
KEPT_LARGE = 8
"""Documents that are kept whatever their size: what one job reads, or each task would read it again."""


class Documents:
    """Reads typed documents and keeps the latest. Safe for threads."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self._kept: OrderedDict[str, tuple[object, int]] = OrderedDict()
        """Name -> the document and its bytes as JSON, the latest last."""
        self._bytes = 0
        self._lock = Lock()

    def job(self, job_id: str) -> Job:
        """Raises NotFound."""
        return self._read(keys.job_doc(job_id), Job.model_validate_json, f"There is no job {job_id!r}.")

    def media(self, media_id: str) -> Media:
        """The long form. Raises NotFound."""
        missing = f"There is no upload {media_id!r}. Upload the file first and use the `uri` of the answer."
        return self._read(keys.media_doc(media_id), Media.model_validate_json, missing)

    def segs(self, media: Media) -> SegsDocument:
        """The SEGS document that a media stands for. Raises NotFound."""
        return self._read(media.blob, SegsDocument.model_validate_json, f"The SEGS document {media.name!r} is gone.")

    def model(self, name_or_hash: str, kind: ModelKind | None = None) -> ModelRef:
        """What is kept under a name or a content hash; of any kind, or of the one that is needed.

        Raises:
            NotFound: with the names there are.   Rejected: it is of another kind.
        """
        for name in (f"models/names/{name_or_hash}.json", f"models/refs/{name_or_hash}.json"):
            if self.blobs.exists(name):
                found = ModelRef.model_validate_json(self.blobs.get(name))
                if kind is not None and found.kind != kind:
                    raise Rejected(
                        f"{name_or_hash!r} is {KIND_NAMES[found.kind]}, where {KIND_NAMES[kind]} is needed; "
                        f"this farm has: {self._names(kind)}."
                    )
                return found
        what = KIND_NAMES[kind or "model"].split(" ", 1)[1]
        raise NotFound(
            f"There is no {what} {name_or_hash!r} on this farm; it has: {self._names(kind)}. "
            f"Add one with `farm model add NAME PATH`."
        )

    def models(self, kind: ModelKind | None = None) -> list[ModelRef]:
        """All models by name, or those of one kind."""
        found = (ModelRef.model_validate_json(self.blobs.get(name)) for name in self.blobs.list("models/names/"))
        return [ref for ref in found if kind in (None, ref.kind)]

    def forget(self, name: str) -> None:
        """Drop a document that was removed from the store."""
        with self._lock:
            self._bytes -= self._kept.pop(name, (None, 0))[1]

    def _names(self, kind: ModelKind | None) -> str:
        return ", ".join(sorted(ref.name for ref in self.models(kind))) or "none yet"

    def _read(self, name: str, parse: Callable[[bytes], _T], missing: str) -> _T:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name][0]  # type: ignore[return-value]  # one parser per name
        try:
            data = self.blobs.get(name)
        except NotFound:
            raise NotFound(missing) from None
        document = parse(data)
        with self._lock:
            if name not in self._kept:
                self._kept[name] = (document, len(data))
                self._bytes += len(data)
            while len(self._kept) > (KEPT if self._bytes <= KEPT_BYTES else KEPT_LARGE):
                self._bytes -= self._kept.popitem(last=False)[1][1]
        return document


def compact(value: object) -> bytes:
    """A JSON document, the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
