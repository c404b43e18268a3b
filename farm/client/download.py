"""Fetching what a job has made: in parallel, checked, never half a file under its name; once, or while the job runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from farm.client.answers import JobAnswer, OutputFile
from farm.client.bars import OnBytes
from farm.client.http import Http
from farm.client.journal import Journal
from farm.client.uploads import Meter, sha256_of
from farm.errors import Conflict, Rejected, Unavailable

READERS = 8
"""Files fetched at once."""
PIECE_BYTES = 1 << 18
FOLDERS = ("cropped", "cropped_refined", "cropped_enhanced_alpha", "cnet")
"""Outputs of a job that are folders of many files."""
TRIES = 5
"""Of one file; each goes on where the last one broke off."""
WAIT_S = 20.0
"""Seconds for which one question waits until a running job has changed."""
PAUSE_S = 1.0
"""Seconds between two looks at a running job, at least: its revision grows with every sampler step."""


class BrokenTransfer(Unavailable):
    """What arrived is not what was announced."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} did not arrive whole: {why}. Start the download again; whole files are not repeated.")


@dataclass(frozen=True)
class Downloaded:
    """What a download did."""

    folder: Path
    fetched: int
    kept: int
    """Files that were there already, with the same content."""
    size: int
    """Bytes fetched."""
    job: JobAnswer
    """As it stood at the end."""


@dataclass(frozen=True)
class Way:
    """How a download goes about it."""

    partial: bool = False
    """Also of a job that has not ended: what there is now, once."""
    direct: bool = False
    """Straight from the store, which this machine must be able to reach; else through the API."""
    timeout_s: float | None = None
    """Of one that follows the job: seconds after which it returns, whether the job has ended or not."""
    stop: threading.Event | None = None
    """Of one that follows the job: set, it returns soon."""


class Downloader:
    """Fetches a job's files into a folder."""

    def __init__(self, http: Http, on_bytes: OnBytes, way: Way) -> None:
        self._http = http
        self._on_bytes = on_bytes
        self._way = way
        self._stop = way.stop or threading.Event()
        self._fetched = self._kept = self._size = 0

    def fetch(self, job_id: str, folder: Path, *, only: Sequence[str], sync: bool) -> Downloaded:
        """See `farm.client.Farm.download`."""
        meter = Meter(0, self._on_bytes)
        if sync:
            with closing(Journal(folder, job_id)) as journal:
                job = self._follow(job_id, folder, only, meter, journal)
            return self._done(folder, job)
        job = self._job(job_id)
        if not job.has_ended and not self._way.partial:
            raise Conflict(
                f"Job {job_id} is {job.status} with {job.frames.done} of {job.frames.total} frames done. Wait for it "
                f"(`farm job wait {job_id}`), fetch what there is now with --partial, or follow it with --sync."
            )
        self._take(list(self._listed(job, only)), folder, meter, None)
        return self._done(folder, job)

    def _done(self, folder: Path, job: JobAnswer) -> Downloaded:
        return Downloaded(folder, self._fetched, self._kept, self._size, job)

    # --- while the job runs ---

    def _follow(self, job_id: str, folder: Path, only: Sequence[str], meter: Meter, journal: Journal) -> JobAnswer:
        """Fetch frames as they are final, until the job has ended; then the rest, and whatever was made again."""
        end = None if self._way.timeout_s is None else time.monotonic() + self._way.timeout_s
        job = self._job(job_id)
        while not job.has_ended:
            for page in self._new(job_id, journal.since):
                self._take([file for file in page.files if _chosen(file.path, only)], folder, meter, journal)
                journal.mark(page.since)
            seen = job
            while _standing(job) == _standing(seen):
                left = WAIT_S if end is None else min(WAIT_S, end - time.monotonic())
                if left <= 0 or self._stop.wait(min(PAUSE_S, left)):
                    return job
                job = self._job(job_id, left, job.revision)
        listed = list(self._listed(job, only))
        self._take(listed, folder, meter, journal)
        named = {file.path for file in listed}
        for path in [path for path in journal.files if path not in named and _chosen(path, only)]:
            journal.drop(path)
        return job

    def _new(self, job_id: str, since: str) -> Iterator[_Page]:
        more = True
        while more:
            params = {"since": since or None, "direct": self._way.direct or None}
            page = self._http.get(f"/jobs/{job_id}/outputs", params)
            since, more = page["since"], page["more"]
            yield _Page(tuple(OutputFile.model_validate(item) for item in page["frames"]), page["files"], since)

    def _job(self, job_id: str, wait_s: float = 0.0, since: int | None = None) -> JobAnswer:
        waited = {"wait": round(wait_s, 3) or None, "since": since}
        return JobAnswer.model_validate(self._http.get(f"/jobs/{job_id}", waited))

    # --- all that there is ---

    def _listed(self, job: JobAnswer, only: Sequence[str]) -> Iterator[OutputFile]:
        """Everything there is now: frames, then the job's files, then the folders that it was asked to keep."""
        for page in self._new(job.id, ""):
            yield from (file for file in page.files if _chosen(file.path, only))
            files = (OutputFile.model_validate(item) for item in page.others)
            yield from (file for file in files if _chosen(file.path, only))
        kept = (job.document or {}).get("outputs", ())
        for folder in kept:
            if folder in FOLDERS:
                yield from (file for file in self._folder(job.id, folder) if _chosen(file.path, only))

    def _folder(self, job_id: str, folder: str) -> Iterator[OutputFile]:
        cursor: str | None = None
        while True:
            params = {"folder": folder, "cursor": cursor, "limit": 1000, "direct": self._way.direct or None}
            page = self._http.get(f"/jobs/{job_id}/files", params)
            yield from (OutputFile.model_validate(item) for item in page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    # --- one by one ---

    def _take(self, files: Sequence[OutputFile], folder: Path, meter: Meter, journal: Journal | None) -> None:
        """Fetch files, several at once; each takes its name after those before it have theirs."""
        for file in files:
            _inside(file.path)
        meter.expect(sum(file.size for file in files))
        pool = ThreadPoolExecutor(READERS, thread_name_prefix="download")
        try:
            parts = pool.map(lambda file: self._part(file, folder / file.path, meter, journal), files)
            for file, part in zip(files, parts, strict=True):
                if part is None:
                    self._kept += 1
                else:
                    part.replace(folder / file.path)
                    self._fetched += 1
                    self._size += file.size
                if journal is not None and not journal.has(file):
                    journal.note(file)
        finally:
            pool.shutdown(cancel_futures=True)

    def _part(self, file: OutputFile, target: Path, meter: Meter, journal: Journal | None) -> Path | None:
        """Fetch one file beside its place, unless it is there."""
        if (journal is not None and journal.has(file)) or _is_there(file, target):
            meter.add(file.size)
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{file.sha256[:12]}.part")
        if not file.sha256:
            # Nothing tells whether a part of it is of the same file.
            part.unlink(missing_ok=True)
        patient = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=3),
            stop=stop_after_attempt(TRIES),
            reraise=True,
        )
        patient(self._into, file, part)
        meter.add(file.size)
        return part

    def _into(self, file: OutputFile, part: Path) -> None:
        """Add to `part` what it lacks of the file, and check the whole."""
        have = part.stat().st_size if part.exists() else 0
        if have == file.size and file.sha256 and sha256_of(part) == file.sha256:
            return
        if have >= file.size:
            have = 0
        response = self._http.fetch(file.url, have)
        try:
            # A server may answer a range with the whole file.
            append = response.status_code == httpx.codes.PARTIAL_CONTENT
            with part.open("ab" if append else "wb") as out:
                for piece in response.iter_bytes(PIECE_BYTES):
                    out.write(piece)
        except httpx.TransportError as error:
            raise BrokenTransfer(file.path, str(error) or type(error).__name__) from None
        finally:
            response.close()
        size = part.stat().st_size
        if size != file.size:
            raise BrokenTransfer(file.path, f"{size:,} of {file.size:,} bytes came")
        if file.sha256 and sha256_of(part) != file.sha256:
            part.unlink()
            raise BrokenTransfer(file.path, f"its sha256 is not {file.sha256[:12]}…")


@dataclass(frozen=True)
class _Page:
    """Some of what is new."""

    files: tuple[OutputFile, ...]
    """Final frames."""
    others: Sequence[object]
    """The job's other files, with the last page."""
    since: str


def _standing(job: JobAnswer) -> tuple[object, ...]:
    """What changes when there is something new to fetch."""
    return job.status, job.frames.done, job.chunks.done


def _is_there(file: OutputFile, target: Path) -> bool:
    if not file.sha256 or not target.is_file() or target.stat().st_size != file.size:
        return False
    return sha256_of(target) == file.sha256


def _chosen(path: str, only: Sequence[str]) -> bool:
    return not only or any(path == each.strip("/") or path.startswith(each.strip("/") + "/") for each in only)


def _inside(path: str) -> None:
    """Refuse a name that would leave the folder: the farm's word is not trusted for that."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in parts[0]:
        raise Rejected(f"The farm names an output {path!r}, which points outside of the folder. Nothing was fetched.")
