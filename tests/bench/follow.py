"""`python -m tests.bench.follow`: what a crop that follows its mask gains over one that holds all of the motion.

A target crosses 80 % of the picture's width in 240 frames, trembling, on a wave. The same `animatediff` job is planned
and run twice, with `follow` and without (fake engine). Exit code 1 if the target's shorter side in the sampled crop is
below 0.9 of `guide_size` in more than 5 % of the frames, if the path ever bends by more than 1 px per frame and frame,
or if a crop leaves the picture or cuts its target.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from farm.adapters.pictures import encode_png
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.domain.plan import Crop
from farm.domain.state import JobState
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.shots import MODEL, make_model
from tests.shows.stage import say

WIDTH, HEIGHT, FRAMES = 640, 360, 240
TARGET = (44, 52)
"""Width, height of the target, pixels."""
DETAILER: dict[str, object] = {"steps": 1, "guide_size": 256, "max_size": 1024, "crop_factor": 3.0, "size_multiple": 8}
ENOUGH = 0.9
"""Of `guide_size`, in pixels of the sampled crop: what the target's shorter side should have."""

Boxes = NDArray[np.int64]


def target_boxes() -> Boxes:
    """The target in each frame, `[FRAMES, 4]`: x1, y1, x2, y2 in pixels."""
    dice, way = np.random.default_rng(0), np.linspace(0, 1, FRAMES)
    x = WIDTH * (0.1 + 0.8 * way) - TARGET[0] / 2
    y = HEIGHT * (0.5 + 0.2 * np.sin(way * 4 * np.pi)) - TARGET[1] / 2
    corners = np.rint(np.stack([x, y], axis=1) + dice.integers(-2, 3, (FRAMES, 2))).astype(np.int64)
    return np.concatenate([corners, corners + TARGET], axis=1)


def write_clip(folder: Path, boxes: Boxes) -> tuple[Path, Path]:
    """Pictures and masks of the target."""
    clip, masks = folder / "clip", folder / "masks"
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    ground = np.stack([columns // 4, rows // 2, (columns + rows) // 8], axis=2).astype(np.uint8)
    for place in (clip, masks):
        place.mkdir()
    for frame, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        mask[y1:y2, x1:x2] = 255
        picture = np.where(mask[..., None] > 0, np.uint8(200), ground)
        (masks / f"{frame + 1:04d}.png").write_bytes(encode_png(mask))
        (clip / f"{frame + 1:04d}.png").write_bytes(encode_png(picture))
    return clip, masks


def crops(farm: AnyOrderFarm, clip: str, masks: str, follow: bool) -> list[Crop]:
    """Each frame's crop, of a job that was run to its end."""
    asked = {
        "type": JobType.ANIMATEDIFF,
        "input": {"uri": clip},
        "segments": [{"name": "target", "mask": masks, "follow": follow}],
        "detailer": DETAILER,
        "model": MODEL,
        "outputs": (),
    }
    status = farm.run(JobRequest.model_validate(asked))
    assert status.state is JobState.COMPLETED
    found = {}
    for name in farm.blobs.list(keys.job(status.facts.id, "plans/")):
        plan = farm.tools.plan(status.facts.id, int(Path(name).stem))
        found.update({crop.frame: crop for task in plan.tasks for crop in task.crops})
    return [found[frame] for frame in range(FRAMES)]


def told(name: str, found: list[Crop], boxes: Boxes) -> tuple[float, float, bool]:
    """Prints a row; the share of frames with enough detail, the largest bend in pixels, whether targets are whole."""
    regions = np.array([crop.region for crop in found])
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    scales = np.array([crop.size for crop in found]) / (regions[:, 2:] - regions[:, :2])
    shorter = sides * scales.min(axis=1)
    guide = float(str(DETAILER["guide_size"]))
    enough = float(np.mean(shorter >= ENOUGH * guide))
    bends = np.abs(np.diff(regions[:, :2], n=2, axis=0))
    whole = bool(np.all(regions[:, :2] <= boxes[:, :2]) and np.all(regions[:, 2:] >= boxes[:, 2:]))
    inside = bool(regions.min() >= 0 and regions[:, 2].max() <= WIDTH and regions[:, 3].max() <= HEIGHT)
    width, height = (regions[0, 2:] - regions[0, :2]).tolist()
    say(
        f"{name}: crop {width}x{height} px, sampled at {found[0].size[0]}x{found[0].size[1]}",
        f"  shorter side of the target there: {np.median(shorter):.1f} px, {np.median(shorter) / guide:.2f} of "
        f"guide_size {guide:g}; {ENOUGH:g} of it or more in {enough:.0%} of the frames",
        f"  the path bends by {bends.mean():.2f} px per frame^2 on average, {bends.max()} at the most",
    )
    return enough, float(bends.max()), whole and inside


def main() -> int:
    """Print the table; 0 if what was promised holds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    boxes = target_boxes()
    trembling = np.abs(np.diff(boxes[:, :2], n=2, axis=0))
    say(
        f"{FRAMES} frames of {WIDTH}x{HEIGHT} px, a target of {TARGET[0]}x{TARGET[1]} px that crosses 80 % of the width"
    )
    say(
        f"the target's own way bends by {trembling.mean():.2f} px per frame^2 on average, {trembling.max()} at the most"
    )
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as name, AnyOrderFarm(Path(name) / "farm") as farm:
        farm.add_model(MODEL, make_model(Path(name) / "model"))
        clip, masks = (farm.admit(path) for path in write_clip(Path(name), boxes))
        told("follow: false", crops(farm, clip, masks, follow=False), boxes)
        enough, bend, held = told("follow: true", crops(farm, clip, masks, follow=True), boxes)
    fine = enough >= 0.95 and bend <= 1 and held
    say("as promised" if fine else "NOT AS PROMISED")
    return 0 if fine else 1


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.bench.follow", description=__doc__).parse_args()
    sys.exit(main())
