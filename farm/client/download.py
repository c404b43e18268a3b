"""Fetching what a job has made: in parallel, checked, never half a file under its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from farm.client.answers import JobAnswer, OutputFile
from farm.client.http import Http
from farm.client.uploads import Meter, OnBytes, sha256_of
from farm.errors import Conflict, Rejected, Unavailable

READERS = 8
"""Files fetched at once."""
PIECE_BYTES = 1 << 18
FOLDERS = ("cropped", "cropped_refined", "cropped_enhanced_alpha", "cnet")
"""Outputs of a job that are folders of many files."""
TRIES = 5
"""Of one file; each goes on where the last one broke off."""


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


class Downloader:
    """Fetches a job's files into a folder."""

    def __init__(self, http: Http, on_bytes: OnBytes) -> None:
        self._http = http
        self._on_bytes = on_bytes

    def fetch(self, job_id: str, folder: Path, *, only: Sequence[str], sync: bool, direct: bool) -> Downloaded:
        """See `farm.client.Farm.download`."""
        job = JobAnswer.model_validate(self._http.get(f"/jobs/{job_id}"))
        if not job.has_ended and not sync:
            raise Conflict(
                f"Job {job_id} is {job.status} with {job.frames.done} of {job.frames.total} frames done. Wait for it "
                f"(`farm job wait {job_id}`), or fetch what there is now with --sync."
            )
        files = [file for file in self._listed(job, direct) if _chosen(file.path, only)]
        for file in files:
            _inside(file.path)
        meter = Meter(sum(file.size for file in files), self._on_bytes)
        pool = ThreadPoolExecutor(READERS, thread_name_prefix="download")
        try:
            fetched = list(pool.map(lambda file: self._one(file, folder / file.path, meter), files))
        finally:
            pool.shutdown(cancel_futures=True)
        size = sum(file.size for file, new in zip(files, fetched, strict=True) if new)
        return Downloaded(folder, sum(fetched), len(files) - sum(fetched), size)

    def _listed(self, job: JobAnswer, direct: bool) -> Iterator[OutputFile]:
        """Everything there is now: frames, then the job's files, then the folders that it was asked to keep."""
        since, more = "", True
        while more:
            page = self._http.get(f"/jobs/{job.id}/outputs", {"since": since or None, "direct": direct or None})
            yield from (OutputFile.model_validate(item) for item in (*page["frames"], *page["files"]))
            since, more = page["since"], page["more"]
        kept = (job.document or {}).get("outputs", ())
        for folder in kept:
            if folder in FOLDERS:
                yield from self._folder(job.id, folder, direct)

    def _folder(self, job_id: str, folder: str, direct: bool) -> Iterator[OutputFile]:
        cursor: str | None = None
        while True:
            page = self._http.get(
                f"/jobs/{job_id}/files", {"folder": folder, "cursor": cursor, "limit": 1000, "direct": direct or None}
            )
            yield from (OutputFile.model_validate(item) for item in page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _one(self, file: OutputFile, target: Path, meter: Meter) -> bool:
        """Fetch one file unless it is there; whether it was fetched."""
        if file.sha256 and target.is_file() and target.stat().st_size == file.size and sha256_of(target) == file.sha256:
            meter.add(file.size)
            return False
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
        part.replace(target)
        return True

    def _into(self, file: OutputFile, part: Path) -> None:
        """Add to `part` what it lacks of the file, and check the whole."""
        have = part.stat().st_size if part.exists() else 0
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


def _chosen(path: str, only: Sequence[str]) -> bool:
    return not only or any(path == each.strip("/") or path.startswith(each.strip("/") + "/") for each in only)


def _inside(path: str) -> None:
    """Refuse a name that would leave the folder: the farm's word is not trusted for that."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in parts[0]:
        raise Rejected(f"The farm names an output {path!r}, which points outside of the folder. Nothing was fetched.")
