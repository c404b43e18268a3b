"""`python -m tests.bench.incremental`: what is rendered again after a change, beside what was foretold.

Small pictures and an engine without a model: counts do not depend on either. Ends with 1 if a crop was rendered that
the change does not touch, if a frame outside the range has other bytes, or if the forecast was wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from farm.domain import keys
from farm.domain.detailer import REPAINTING, JobType
from farm.domain.forecast import Forecast
from farm.domain.job import JobRequest
from farm.domain.like import LikeRequest
from farm.domain.plan import Plan
from farm.domain.state import JobState
from farm.settings import Settings
from tests.bench.clips import BOXES, draw_clip, draw_masks
from tests.shows.stage import say, silent
from workers.forecast import Forecaster
from workers.local_render import LocalFarm

FRAMES = 320
RANGE = {JobType.MASK: "100-199", JobType.ANIMATEDIFF: "96-191"}
"""Frames that are changed: 100 of a `mask` job, so that chunks of 16 lie half inside; two chunks of the other."""
CHANGED_FRAME = 150
QUICK = {"steps": 1, "guide_size": 64, "max_size": 64, "crop_factor": 1.1, "feather": 2}


@dataclass(frozen=True)
class Ran:
    """What a job did."""

    id: str
    crops: Counter[str]
    """Segment -> crops that were rendered."""
    tasks: int
    """Detail tasks that were run."""
    cached: int
    frames: dict[int, str]
    """Number -> digest of the final frame."""


class Bench:
    """A farm in a folder."""

    def __init__(self, folder: Path) -> None:
        self.farm = LocalFarm(folder / "store", Settings.read(engine="fake", data_dir=folder))
        model = folder / "model"
        model.mkdir()
        (model / "model_index.json").write_text("{}")
        (model / "motion_adapter").mkdir()
        (model / "motion_adapter" / "config.json").write_text("{}")
        self.farm.add_model("demo", model)
        self._forecaster = Forecaster(self.farm.farm, self.farm.blobs, folder / "cache", 10**7)

    def foretold(self, request: JobRequest | LikeRequest) -> Forecast:
        """What the job would do."""
        service = self.farm.farm
        like = service.document(request.like) if isinstance(request, LikeRequest) else None
        *_, last = self._forecaster(service.validate(request), like)
        assert isinstance(last, Forecast)
        return last

    def run(self, request: JobRequest | LikeRequest) -> Ran:
        """Run the job to its end."""
        before = self._done()
        status = self.farm.run(request)
        assert status.state is JobState.COMPLETED, status.activity
        new = self._done() - before
        job = status.facts.id
        blobs = self.farm.blobs
        plans = [Plan.model_validate_json(blobs.get(name)) for name in blobs.list(keys.job(job, "plans/"))]
        rendered = [task for plan in plans for task in plan.tasks if task.key in new]
        crops: Counter[str] = Counter()
        for task in rendered:
            crops[task.source] += len(task.crops)
        frames = {frame["number"]: frame["sha256"] for frame in json.loads(blobs.get(keys.manifest(job)))["frames"]}
        return Ran(job, crops, status.cache_misses, status.cache_hits, frames)

    def _done(self) -> set[str]:
        return {name.split("/")[1] for name in self.farm.blobs.list("done/")}


def request(clip: str, masks: dict[str, str], job_type: JobType) -> JobRequest:
    """A job with the three segments."""
    segments = [{"name": name, "mask": masks[name], "prompt": name} for name in BOXES]
    values: dict[str, Any] = {"input": {"uri": clip}, "segments": segments, "detailer": QUICK, "outputs": []}
    return JobRequest.model_validate({**values, "type": job_type})


def compare(bench: Bench, first: Ran, name: str, asked: LikeRequest | JobRequest, touched: set[int]) -> list[str]:
    """Run a changed job; a line of the table is told, and what is wrong with it is returned."""
    foretold = bench.foretold(asked)
    ran = bench.run(asked)
    crops = ", ".join(f"{source} {count}" for source, count in sorted(ran.crops.items())) or "none"
    changed = {number for number, digest in ran.frames.items() if digest != first.frames[number]}
    say(f"| {name:34} | {ran.tasks:5} | {ran.cached:6} | {crops:28} | {len(changed):6} |")
    wrong = []
    expected = {source: count.run for source, count in foretold.crops.items() if count.run}
    if expected != dict(ran.crops) or foretold.unknown_frames:
        wrong.append(f"{name}: foretold were {expected}, {foretold.unknown_frames} frames unknown")
    if sum(c.run for layer, c in foretold.tasks.items() if layer.startswith("detail:")) != ran.tasks:
        wrong.append(f"{name}: another number of tasks was foretold than the {ran.tasks} that ran")
    if not changed <= touched:
        wrong.append(f"{name}: frames outside have changed: {sorted(changed - touched)[:5]}")
    return wrong


def play(folder: Path, job_type: JobType) -> list[str]:
    """All changes to a job of one type; what went wrong."""
    bench = Bench(folder)
    clip = bench.farm.admit(draw_clip(folder / "clip", FRAMES))
    other = bench.farm.admit(draw_clip(folder / "other", FRAMES, frozenset({CHANGED_FRAME})))
    masks = {name: bench.farm.admit(path) for name, path in draw_masks(folder / "masks").items()}
    frames = RANGE[job_type]
    first_number, last_number = map(int, frames.split("-"))
    inside = set(range(first_number, last_number + 1))
    # In `animatediff` jobs chunks fade into each other, and a frame is seen by those around it.
    reach = 0 if job_type is JobType.MASK else 48
    faded = set(range(first_number - reach, last_number + reach + 1))
    say("", f"{job_type.value} job, {FRAMES} frames, face, hair (partly on the face) and cup (apart)")
    say(f"| {'change':34} | {'ran':>5} | {'cached':>6} | {'crops rendered':28} | {'frames':>6} |")
    first = bench.run(request(clip, masks, job_type))
    say(f"| {'(first time)':34} | {first.tasks:5} | {first.cached:6} | {_counted(first.crops):28} | {FRAMES:6} |")

    def like(path: str, value: str, span: str | None = frames) -> LikeRequest:
        return LikeRequest(like=first.id, set={path: value}, frames=span)

    wrong = compare(bench, first, "nothing", LikeRequest(like=first.id), set())
    for name in ("cup", "hair", "face"):
        asked = like(f"segments.{name}.prompt", "another")
        wrong += compare(bench, first, f"prompt of the {name}, {frames}", asked, faded)
    wrong += compare(bench, first, "the last one again", like("segments.face.prompt", "another"), faded)
    asked = LikeRequest(like=first.id, set={"input.uri": other})
    seen = set(range(CHANGED_FRAME - 2 * reach, CHANGED_FRAME + 2 * reach + 1))
    wrong += compare(bench, first, f"frame {CHANGED_FRAME} of the clip", asked, seen)
    whole = like("segments.cup.prompt", "a glass", None)
    wrong += compare(bench, first, "prompt of the cup, all frames", whole, set(first.frames))
    bench.farm.close()
    if job_type is JobType.MASK and len(inside) != 100:
        wrong.append("the range has not 100 frames")
    return wrong


def main() -> int:
    """Print a table for each type of job."""
    structlog.configure(processors=[silent])
    wrong = []
    for job_type in REPAINTING:
        with tempfile.TemporaryDirectory(prefix="farm-bench-") as folder:
            wrong += play(Path(folder), job_type)
    say("", *(wrong or ["Only what a change touches was rendered, and all of it was foretold."]))
    return 1 if wrong else 0


def _counted(crops: Counter[str]) -> str:
    return ", ".join(f"{source} {count}" for source, count in sorted(crops.items()))


if __name__ == "__main__":
    sys.exit(main())
