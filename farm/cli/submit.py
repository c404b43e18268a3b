"""`farm job submit`: from what was typed to a job that runs, and on to its pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field

from farm.cli.context import LONG_PATIENCE_S, client, resolved
from farm.cli.draft import addressed
from farm.cli.like import handed_in, typed_like
from farm.cli.options import Given, OptionGroup, generated
from farm.cli.show import AsJson, facts, notes, out, write_json
from farm.cli.typed import CLIP, DETAILER, DETECT, JOB, WHAT, Source, model_path, typed_draft
from farm.cli.watch import end, follow, transfer
from farm.client import Farm
from farm.client.answers import JobAnswer, Validated
from farm.client.download import Downloaded, Way
from farm.domain.job import JobRequest
from farm.domain.like import LikeRequest

EPILOG = (
    "Examples: [cyan]farm job submit clip.mp4 --mask face.png --prompt 'a sharp, detailed face' --wait[/cyan] · "
    "[cyan]farm job submit frames/ --type animatediff --mask head=masks/head/ --frames 60-91 --denoise 0.35 "
    "--download out[/cyan] · [cyan]farm job submit --job job.json --set segments.face.denoise=0.3 --dry-run[/cyan] · "
    "[cyan]farm job submit --like last --set segments.face.prompt='a smile' --frames 5000-5099[/cyan]"
)


class Sending(BaseModel):
    """What happens beside and after submitting."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    wait: bool = False
    """Show progress until the job has ended; the exit code tells how."""
    timeout: Annotated[float | None, Field(ge=0)] = None
    """Seconds to wait at the most; then the exit code is 3 and the job goes on."""
    download: Path | None = None
    """Wait, then fetch frames, video and manifest into this folder."""
    dry_run: bool = False
    """Check everything and submit nothing."""
    idempotency_key: str | None = None
    """The same key: the same job, once. For scripts that may be run twice."""


@generated(
    what=WHAT,
    clip=CLIP,
    detect=DETECT,
    sending=OptionGroup(Sending, "Submitting", plain_flags=True),
    job=JOB,
    detailer=DETAILER,
)
def submit(
    source: Source = None,
    *,
    what: Given,
    clip: Given,
    detect: Given,
    sending: Given,
    job: Given,
    detailer: Given,
    as_json: AsJson = False,
) -> None:
    """Submit a job: a clip, what to detail in it, and how.

    Files and folders of this machine are handed in first; what the farm has already is not sent again.
    """
    how = Sending.model_validate(sending)
    with client(LONG_PATIENCE_S if how.wait or how.download else 10.0) as farm:
        request = wanted(farm, source, what, clip, job, detailer, detect)
        deliver(farm, request, how, as_json)


def deliver(farm: Farm, request: JobRequest | LikeRequest, how: Sending, as_json: bool) -> None:
    """Submit a request, or only have it checked, and go on with it as far as `how` says."""
    if how.dry_run:
        show_checked(farm.validate(request), as_json)
        return
    accepted = farm.submit(request, how.idempotency_key)
    for text in (accepted.document or {}).get("warnings", ()):
        notes().print(f"Note: {text}", markup=False)
    if not (how.wait or how.download):
        show_accepted(accepted, as_json)
        return
    raise typer.Exit(_to_the_end(farm, accepted, how, as_json))


def wanted(
    farm: Farm, source: str | None, what: Given, clip: Given, job: Given, detailer: Given, detect: Given
) -> JobRequest | LikeRequest:
    """The request of all that was typed, its files uploaded. Raises Rejected."""

    def media(path: str, purpose: str) -> str:
        with transfer(f"{purpose} {Path(path).name}") as on_bytes:
            return farm.upload(Path(path).expanduser(), on_bytes).uri

    def model(name: str) -> str:
        path = model_path(name)
        if path is None:
            return name
        with transfer(f"model {path.name}") as on_bytes:
            return farm.add_model(model_name(path), path, on_bytes).hash

    if what.get("like"):
        like = typed_like(source, what, clip, job, detailer, detect)
        return handed_in(like.model_copy(update={"like": resolved(like.like)}), media, model)
    return addressed(typed_draft(source, what, clip, job, detailer, detect), media, model)


def model_name(path: Path) -> str:
    """A name for a model's folder or file, from its own."""
    own = path.resolve().name.removesuffix(".safetensors").removesuffix(".onnx")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip("-._")[:128] or "model"


def show_accepted(job: JobAnswer, as_json: bool) -> None:
    """Tell of a job that was taken; its id alone on standard output, for scripts."""
    if as_json:
        write_json(job)
        return
    out().print(job.id)
    notes().print(f"{job.frames.total} frames in {job.chunks.total} chunks. See it with: farm job watch {job.id}")


def show_checked(checked: Validated, as_json: bool) -> None:
    """Tell what a job would be."""
    if as_json:
        write_json(checked)
        return
    document = checked.document
    clip, model = document.get("input", {}), document.get("model", {})
    facts(
        {
            "input": f"{clip.get('name')} {clip.get('width')}x{clip.get('height')} px, {clip.get('frames')} frames",
            "type": document.get("type"),
            "frames": checked.frames,
            "chunks": checked.chunks,
            "segments": [source["name"] for source in document.get("sources", ())],
            "model": f"{model.get('name')} ({str(model.get('hash'))[:12]})",
        }
    )
    for text in checked.warnings:
        notes().print(f"Note: {text}", markup=False)
    notes().print("The job can run. Nothing was submitted.")


def _to_the_end(farm: Farm, accepted: JobAnswer, how: Sending, as_json: bool) -> int:
    notes().print(f"Job {accepted.id}: {accepted.frames.total} frames in {accepted.chunks.total} chunks.")
    try:
        ended = follow(farm, accepted.id, how.timeout, quiet=as_json)
    except KeyboardInterrupt:
        notes().print(f"Job {accepted.id} goes on. See it: farm job watch {accepted.id}; stop it: farm job cancel …")
        raise
    code = end(farm, ended, accepted.id)
    if how.download and ended is not None:
        fetch(farm, accepted.id, how.download, way=Way(partial=True))
    if as_json:
        write_json(farm.job_document(accepted.id))
    return code


def fetch(
    farm: Farm, job_id: str, folder: Path, *, only: tuple[str, ...] = (), sync: bool = False, way: Way = Way()
) -> Downloaded:
    """Download a job's files, with a bar, and say where they are."""
    with transfer("download") as on_bytes:
        done = farm.download(job_id, folder, only=only, sync=sync, way=way, on_bytes=on_bytes)
    kept = f", {done.kept} were there already" if done.kept else ""
    notes().print(f"{done.fetched} files in {folder}{kept}.")
    return done
