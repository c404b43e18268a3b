"""What a folder has of a job already, written down line by line: where a download that follows a job goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple, TextIO

from farm.client.answers import OutputFile


class Kept(NamedTuple):
    """A file as it was left."""

    sha256: str
    size: int
    modified_ns: int


class Journal:
    """One file in the folder, only ever added to: a process that dies loses its last line at the most."""

    def __init__(self, folder: Path, job_id: str) -> None:
        self._folder = folder
        self._path = folder / f".farm-{job_id}.jsonl"
        self.since = ""
        """Mark up to which everything is there."""
        self.files: dict[str, Kept] = {}
        """By path in the folder."""
        self._read()
        if any(not self._as_left(path, kept) for path, kept in self.files.items()):
            # Somebody has changed or removed something: then all is looked at again.
            self.since = ""
        folder.mkdir(parents=True, exist_ok=True)
        self._out: TextIO = self._path.open("a", encoding="utf-8")

    def has(self, file: OutputFile) -> bool:
        """Whether the file is there with this content, without reading it again."""
        kept = self.files.get(file.path)
        return kept is not None and kept.sha256 == file.sha256 and self._as_left(file.path, kept)

    def note(self, file: OutputFile) -> None:
        """A file is there now."""
        about = (self._folder / file.path).stat()
        self.files[file.path] = kept = Kept(file.sha256, about.st_size, about.st_mtime_ns)
        self._line([file.path, *kept])

    def mark(self, since: str) -> None:
        """Everything up to this mark is there."""
        if since != self.since:
            self.since = since
            self._line(since)

    def drop(self, path: str) -> None:
        """Remove a file that the job has no more, if it is as it was left."""
        kept = self.files.pop(path)
        if self._as_left(path, kept):
            (self._folder / path).unlink()
        self._line([path])

    def close(self) -> None:
        """No more is noted."""
        self._out.close()

    def _line(self, entry: object) -> None:
        self._out.write(json.dumps(entry) + "\n")
        self._out.flush()

    def _as_left(self, path: str, kept: Kept) -> bool:
        try:
            about = (self._folder / path).stat()
        except OSError:
            return False
        return (about.st_size, about.st_mtime_ns) == (kept.size, kept.modified_ns)

    def _read(self) -> None:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the line at which a process was killed
            if isinstance(entry, str):
                self.since = entry
            elif isinstance(entry, list) and len(entry) == 4:
                self.files[str(entry[0])] = Kept(*entry[1:])
            elif isinstance(entry, list) and len(entry) == 1:
                self.files.pop(str(entry[0]), None)
