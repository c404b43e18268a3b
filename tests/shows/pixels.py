"""`python -m tests.shows.pixels [FRAMES]`: both kinds of job on the demo clip; which pixels changed, and how.

The paste masks are read from the job's plans; the input is decoded anew. Gradient energy is the mean squared slope of
brightness inside the segments, in levels per pixel.
"""

from __future__ import annotations

import sys
import time

import av
import numpy as np

from demo.figures import gradient_energy
from demo.scene import SOFT
from farm.adapters.pictures import U8, decode
from farm.adapters.video import to_rgb
from farm.domain.detailer import REPAINTING
from farm.domain.state import JobState
from farm.settings import Settings
from tests.e2e.paste_masks import paste_masks
from tests.e2e.reference import final_frames
from tests.e2e.shots import hand_in
from tests.shows import demo_clip
from tests.shows.stage import say, stage
from workers.local_render import LocalFarm

FIRST = 60
"""Number of the first frame."""


def decoded(first: int, count: int) -> dict[str, U8]:
    """Frames of the soft clip by output name, decoded from its beginning."""
    with av.open(str(SOFT)) as container:
        frames = [frame for _, frame in zip(range(first + count - 1), container.decode(video=0), strict=False)]
    return {f"{first + n:06d}.png": to_rgb(frame) for n, frame in enumerate(frames[first - 1 :])}


def main(count: int) -> int:
    """Print the figures; 0 if no pixel changed that no mask covers."""
    wrong = 0
    before = decoded(FIRST, count)
    with stage() as here:
        local = LocalFarm(here.new("store"), Settings.read(**demo_clip.ENGINE))
        handed = hand_in(demo_clip.shot(), local)
        for job_type in REPAINTING:
            started = time.monotonic()
            status = local.run(demo_clip.request(handed, job_type, f"{FIRST}-{FIRST + count - 1}"))
            assert status.state is JobState.COMPLETED, status
            job = status.facts.id
            masks = paste_masks(local.blobs, local.farm.document(job), here.new("cache"))
            outside = changed = inside = inside_changed = 0
            energy = np.zeros(2)
            for name, data in final_frames(local.blobs, job).items():
                after, mask = decode(data), masks[name]
                differs = (after != before[name]).any(axis=2)
                outside += int((mask == 0).sum())
                changed += int((differs & (mask == 0)).sum())
                inside += int((mask > 0).sum())
                inside_changed += int((differs & (mask > 0)).sum())
                energy += [gradient_energy(picture, mask > 0.5) for picture in (before[name], after)]
            area = sum(int((mask > 0.5).sum()) for mask in masks.values())
            wrong += changed
            say(
                f"{job_type.value}: {count} frames in {time.monotonic() - started:.1f} s",
                f"  {changed} of {outside:,} pixels without a mask differ from the decoded input",
                f"  {inside_changed:,} of {inside:,} pixels under a mask differ",
                f"  gradient energy inside {energy[0] / area:.2f} before, {energy[1] / area:.2f} after, "
                f"{energy[1] / energy[0]:.2f} times",
            )
        local.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8))
