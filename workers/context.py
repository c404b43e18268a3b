"""What a step is given: the store, this process's caches and engine, and the task that it is to do."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from farm.adapters.model_disk import ModelDisk
from farm.domain import keys
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.model import ModelRef
from farm.domain.plan import Plan
from farm.errors import NotFound
from farm.ports import Blobs, NewTask
from farm.service.documents import Documents
from farm.service.tally import Tally
from workers.detectors.opening import open_detector
from workers.detectors.port import Detector
from workers.pictures_cache import PictureCache
from workers.speed import Speed

if TYPE_CHECKING:
    from workers.gpu.engine import Engine
    from workers.gpu.sam import Sam

_T = TypeVar("_T")

KEPT_OBJECTS = 64
"""Objects (plans, packs of masks and patches) that a worker keeps in memory: a paste reads a pack per segment for each
frame."""
KEPT_BYTES = 64 * 1024 * 1024
"""Stored bytes of objects above which only `KEPT_LARGE` are kept."""
KEPT_LARGE = 12
KEPT_DETECTORS = 4
"""Detectors that a worker keeps in memory."""


@dataclass(frozen=True)
class StepResult:
    """What a step leads to."""

    output: str = ""
    """Name of the object that holds what was made; what dependents are told."""
    tasks: tuple[NewTask, ...] = ()
    frames: int = 0
    """Frames that are final now."""


@dataclass(frozen=True)
class Task:
    """One task, as a step sees it."""

    job: Job
    id: str
    kind: str
    chunk: int
    progress: Callable[[int, int], None]
    """`progress(step, steps)`; raises Canceled or LeaseLost: then the step must leave at once."""
    outputs: Callable[[Sequence[str]], Mapping[str, str]]
    """Outputs of completed tasks of the job, by task id."""
    parts: int = 0
    """Tasks that it was split into: their results are to be put together."""
    amended: bool = False
    """Something of its chunk was eaten: the decisions in the store say what."""


class Tools:
    """This process's tools. Safe for threads; the engine is opened when it is first needed."""

    def __init__(
        self,
        blobs: Blobs,
        cache: Path,
        open_engine: Callable[[], Engine],
        max_pixels: int,
        cache_bytes: int | None = None,
        documents: Documents | None = None,
        tally: Tally | None = None,
    ) -> None:
        """
        Args:
            cache: folder for downloaded models and videos.
            max_pixels: largest picture that is decoded, in pixels.
            cache_bytes: of models to keep in the cache; None: no limit.
            documents: those that this process keeps already; None: its own.
            tally: where this process counts; None: one that nobody reads.
        """
        self.tally = tally or Tally()
        self.blobs = blobs
        self.documents = documents or Documents(blobs)
        self.cache = cache
        self.max_pixels = max_pixels
        self.pictures = PictureCache(blobs, max_pixels)
        self.speed = Speed()
        self.models = ModelDisk(cache / "models", blobs, cache_bytes)
        self._open_engine = open_engine
        self._engine: Engine | None = None
        self._objects: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        """Name -> the object and its stored bytes, the latest last."""
        self._object_bytes = 0
        self._lock = threading.Lock()
        self._engine_lock = threading.Lock()
        self._detectors: OrderedDict[str, Detector] = OrderedDict()
        """By content hash, the latest last."""
        self._sam: tuple[str, Sam] | None = None
        self._detector_lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine, opened once."""
        with self._engine_lock:
            if self._engine is None:
                self._engine = self._open_engine()
            return self._engine

    def media(self, media: str) -> Media:
        """The long form of a media."""
        return self.documents.media(media)

    def model(self, model_hash: str) -> Path:
        """Folder with a model's files, downloaded and verified once per machine; kept for this task (`next_task`)."""
        return self.models.get(model_hash)

    def detector(self, ref: ModelRef) -> Detector:
        """A detector, opened once; a few are kept."""
        with self._detector_lock:
            if ref.hash not in self._detectors:
                while len(self._detectors) >= KEPT_DETECTORS:
                    self._detectors.popitem(last=False)
                self._detectors[ref.hash] = open_detector(ref, self.model)
            self._detectors.move_to_end(ref.hash)
            return self._detectors[ref.hash]

    def sam(self, ref: ModelRef) -> Sam:
        """A SAM, loaded once; the latest one is kept."""
        with self._detector_lock:
            if self._sam is None or self._sam[0] != ref.hash:
                from workers.gpu.sam import Sam

                self._sam = None
                self._sam = ref.hash, Sam(self.model(ref.hash), ref.name)
            return self._sam[1]

    def file(self, blob: str) -> Path:
        """An object as a local file, downloaded once per machine; for objects named by their content only."""
        path = self.cache / "files" / hashlib.sha256(blob.encode()).hexdigest()
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{threading.get_ident()}-{id(self):x}.part")
            self.blobs.get_to_file(blob, part)
            part.replace(path)
        return path

    def plan(self, job: str, chunk: int) -> Plan:
        """The plan of a chunk. Raises NotFound."""
        name = keys.plan(job, chunk)
        return self.object(name, Plan.model_validate_json)

    def object(self, name: str, parse: Callable[[bytes], _T]) -> _T:
        """A parsed object that never changes under its name, kept for the next task that reads it."""
        with self._lock:
            if name in self._objects:
                self._objects.move_to_end(name)
                return self._objects[name][0]  # type: ignore[no-any-return]  # one parser per name
        data = self.blobs.get(name)
        value = parse(data)
        self.keep(name, value, len(data))
        return value

    def forget(self, name: str) -> None:
        """Drop an object that was written anew."""
        with self._lock:
            self._object_bytes -= self._objects.pop(name, (None, 0))[1]

    def keeps(self, name: str) -> bool:
        """Whether an object is at hand: this process has read or written it lately."""
        with self._lock:
            return name in self._objects

    def keep(self, name: str, value: Any, stored: int) -> None:  # noqa: ANN401 - whatever `parse` makes
        """Keep what was just read or written, as `object` would parse it, in place of what was there.

        Args:
            stored: its bytes in the store.
        """
        with self._lock:
            self._object_bytes += stored - self._objects.pop(name, (None, 0))[1]
            self._objects[name] = (value, stored)
            while len(self._objects) > (KEPT_OBJECTS if self._object_bytes <= KEPT_BYTES else KEPT_LARGE):
                self._object_bytes -= self._objects.popitem(last=False)[1][1]

    def json(self, name: str) -> dict[str, Any]:
        """A JSON document, not kept. Raises NotFound."""
        document: dict[str, Any] = json.loads(self.blobs.get(name))
        return document

    def lasting_json(self, name: str) -> dict[str, Any]:
        """A JSON document that never changes under its name, kept; not to be written to. Raises NotFound."""
        return self.object(name, json.loads)

    def json_or_none(self, name: str) -> dict[str, Any] | None:
        """A JSON document, or None if it is not there."""
        try:
            return self.json(name)
        except NotFound:
            return None
