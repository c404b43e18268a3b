"""`farm render`: a job in this process, without Redis and S3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import BaseModel, ConfigDict
from rich.live import Live

from farm.cli.context import settings
from farm.cli.draft import addressed
from farm.cli.faults import FAILED
from farm.cli.options import Given, OptionGroup, generated
from farm.cli.show import AsJson, notes, state, write_json
from farm.cli.submit import model_name
from farm.cli.typed import CLIP, DETAILER, DETECT, JOB, WHAT, Source, model_path, typed_draft
from farm.cli.watch import END_CODES, Progressing
from farm.client.answers import Cache, Chunks, Frames, JobAnswer
from farm.domain import keys
from farm.domain.state import JobState, TaskState
from farm.local.place import DEMO_MODEL
from farm.ports import JobStatus, TaskFilter

if TYPE_CHECKING:
    from workers.local_render import LocalFarm

EPILOG = (
    "Examples: [cyan]farm render clip.mp4 --mask face.png --prompt 'a sharp face' --frames 60-63 --out try[/cyan] · "
    "[cyan]farm render --job job.json --set denoise=0.3[/cyan]. What was rendered before is not rendered again."
)
KEPT_FOLDERS = ("frames", "cropped", "cropped_refined", "cropped_enhanced_alpha", "cnet", "preview")


class Rendering(BaseModel):
    """Where a rendering goes."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    out: Path = Path("out/render")
    """Folder for frames, video, manifest and SEGS."""
    store: Path | None = None
    """Folder that takes the place of S3: decoded frames, patches, models. Kept, so that the next run is quicker. Not
    given: `render` inside FARM_DATA_DIR."""


@generated(
    what=WHAT,
    clip=CLIP,
    detect=DETECT,
    rendering=OptionGroup(Rendering, "Rendering"),
    job=JOB,
    detailer=DETAILER,
)
def render(
    source: Source = None,
    *,
    what: Given,
    clip: Given,
    detect: Given,
    rendering: Given,
    job: Given,
    detailer: Given,
    as_json: AsJson = False,
) -> None:
    """Run a job in this process: the same plan, batch after batch. No Redis, no S3; the farm's reference.

    For trying parameters on a few frames before a job is submitted.
    """
    from workers.local_render import LocalFarm

    draft = typed_draft(source, what, clip, job, detailer, detect)
    where = Rendering.model_validate(rendering)
    found = settings()
    local = LocalFarm((where.store or found.data_dir / "render").absolute(), found)
    try:
        request = addressed(
            draft,
            lambda path, purpose: local.admit(Path(path).expanduser()),  # noqa: ARG005 - the purpose is for bars
            lambda name: _model(local, name),
        )
        drawn, console = Progressing(), notes()
        with Live(drawn, console=console, refresh_per_second=4, transient=True) as live:
            live.update(drawn, refresh=False)
            ended = local.run(request, lambda status: drawn.update(_answer(status)))
        files = _write_out(local, ended.facts.id, where.out)
        _tell(local, ended, where.out, files, as_json)
    finally:
        local.close()
    raise typer.Exit(END_CODES.get(ended.state, FAILED))


def _model(local: LocalFarm, name: str) -> str:
    path = model_path(name)
    if path is None and name == "demo" and DEMO_MODEL.is_dir():
        path = DEMO_MODEL
    if path is not None:
        name = "demo" if path == DEMO_MODEL else model_name(path)
        local.add_model(name, path)
    return name


def _write_out(local: LocalFarm, job_id: str, out: Path) -> int:
    """Copy what the job made into a folder; the number of files."""
    prefix = keys.job(job_id, "")
    count = 0
    for name in local.blobs.list(prefix):
        path = name.removeprefix(prefix)
        top, slash, _ = path.partition("/")
        kept = any(top == folder or top.startswith(f"{folder}-b") for folder in KEPT_FOLDERS) if slash else True
        if not kept:
            continue
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        local.blobs.get_to_file(name, target)
        count += 1
    return count


def _tell(local: LocalFarm, ended: JobStatus, out: Path, files: int, as_json: bool) -> None:
    failed = local.farm.tasks(ended.facts.id, TaskFilter(states=(TaskState.FAILED,)))
    if as_json:
        write_json({"job": _answer(ended), "folder": str(out), "errors": [task.error for task in failed]})
        return
    notes().print(state(ended.state), f"{ended.frames_done} of {ended.facts.frames} frames;", f"{files} files in {out}")
    for task in failed[:3] if ended.state is JobState.FAILED else ():
        notes().print(f"{task.id}: {task.error}", markup=False, style="red", soft_wrap=True)


def _answer(status: JobStatus) -> JobAnswer:
    facts = status.facts
    return JobAnswer(
        id=facts.id,
        name=facts.name,
        type=facts.type,
        status=status.state,
        activity=status.activity,
        revision=status.revision,
        counts=dict(status.counts),
        tasks=status.tasks,
        frames=Frames(total=facts.frames, done=status.frames_done, contiguous_done=status.frames_contiguous),
        chunks=Chunks(
            total=facts.chunks, opened=status.chunks_opened, done=status.chunks_done, failed=status.chunks_failed
        ),
        cache=Cache(hits=status.cache_hits, misses=status.cache_misses),
        workers_active=status.workers_active,
    )
