"""Models on a worker's disk: fetched once per machine, checked, and dropped again, least recently used first."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Lock

from farm.adapters.model_folder import ModelFile, ModelManifest, blob_name, manifest_name, sha256_of
from farm.errors import Damaged, NotFound
from farm.ports import Blobs

TASKS_HELD = 8
"""Tasks whose models are kept from being dropped: those that a worker has loaded ahead, runs, and stores."""


LEFT_OVER_S = 24 * 3600.0
"""Seconds after which what a killed worker left behind is removed."""


class ModelDisk:
    """The models of a cache folder, which all workers of a machine share. Safe for threads and processes.

    A model in use is locked (`flock`, shared) by each process that uses it; only what nobody has locked is dropped.
    """

    def __init__(self, folder: Path, blobs: Blobs, limit: int | None = None) -> None:
        """
        Args:
            limit: bytes of models to keep; more only while all of them are in use. None: no limit.
        """
        self._folder = folder
        self._blobs = blobs
        self._limit = limit
        self._tasks: deque[set[str]] = deque([set()], maxlen=TASKS_HELD)
        self._held: dict[str, int] = {}
        self._lock = Lock()

    def next_task(self) -> None:
        """From now on models are asked for by another task; those of the last few tasks stay in use."""
        with self._lock:
            self._tasks.append(set())
            wanted = set().union(*self._tasks)
            for name in [name for name in self._held if name not in wanted]:
                os.close(self._held.pop(name))

    def get(self, model_hash: str) -> Path:
        """The folder of a model, from the cache or from the store; every file is checked before it is used.

        Raises:
            NotFound: the store has no such model.   Damaged: a file arrived damaged.
        """
        folder = self._folder / model_hash
        while not self._hold(model_hash):
            manifest = self._manifest(model_hash)
            self._make_room(sum(file.size for file in manifest.files))
            fetch(manifest, self._blobs, self._folder)
        return folder

    def _manifest(self, model_hash: str) -> ModelManifest:
        try:
            return ModelManifest.model_validate_json(self._blobs.get(manifest_name(model_hash)))
        except NotFound:
            raise NotFound(f"The store has no model {model_hash}. Add it with `farm model add NAME PATH`.") from None

    def _hold(self, model_hash: str) -> bool:
        """Lock a model against being dropped; False: it is not there."""
        with self._lock:
            self._tasks[-1].add(model_hash)
            if model_hash not in self._held:
                lock = _locked(self._folder / model_hash, fcntl.LOCK_SH)
                if lock is None:
                    return False
                self._held[model_hash] = lock
            os.utime(self._held[model_hash])
            return True

    def _make_room(self, needed: int) -> None:
        if self._limit is None or not self._folder.is_dir():
            return
        folders = [path for path in self._folder.iterdir() if path.is_dir()]
        kept = [path for path in folders if not path.name.startswith(".")]
        for path in folders:
            if path not in kept and _used_at(path) < time.time() - LEFT_OVER_S:
                shutil.rmtree(path, ignore_errors=True)
        used = {path: _bytes_in(path) for path in kept}
        excess = sum(used.values()) + needed - self._limit
        for path in sorted(kept, key=_used_at):
            if excess <= 0:
                return
            if self._dropped(path):
                excess -= used[path]

    def _dropped(self, path: Path) -> bool:
        """Whether a model could be removed: nobody uses it."""
        lock = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is None:
            return False
        try:
            # Under another name at once, so that nobody finds half a model.
            gone = path.with_name(f".dropped-{secrets.token_hex(8)}")
            path.rename(gone)
        finally:
            os.close(lock)
        shutil.rmtree(gone, ignore_errors=True)
        return True


def fetch(manifest: ModelManifest, blobs: Blobs, cache: Path) -> Path:
    """A model's files from the store as a folder of the cache, which appears at once, complete.

    Several processes may fetch the same model into one cache. Raises Damaged: a file arrived damaged.
    """
    folder = cache / manifest.hash
    cache.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{manifest.hash[:12]}-", dir=cache))
    try:
        for file in manifest.files:
            _fetch_file(file, blobs, part / file.path)
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was first
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _fetch_file(file: ModelFile, blobs: Blobs, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs.get_to_file(blob_name(file.sha256), path)
    if sha256_of(path) != file.sha256:
        raise Damaged(
            f"The model's file {file.path!r} arrived damaged: its bytes are not those that were added. It is fetched "
            f"again; if that does not help, `farm model verify` tells what the store has, and `farm model add --again` "
            f"sends it anew."
        )


def _locked(folder: Path, how: int) -> int | None:
    """A lock on a folder, held until it is closed; None if it is not there, or others hold it."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, how)
        # It may have been dropped, and even fetched anew, between the two calls.
        if folder.stat().st_ino == os.fstat(lock).st_ino:
            return lock
    os.close(lock)
    return None


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes_in(folder: Path) -> int:
    found = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found += path.stat().st_size if path.is_file() else 0
    return found
