"""Pictures to look at, and frames that a hook has changed."""

from __future__ import annotations

import numpy as np

from farm.adapters.packs import encode_npy
from farm.adapters.pictures import decode
from farm.domain.hooks import DenoiseSchedule, Preview
from farm.domain.plan import Crop, DetailTask, Plan, PlannedFrame
from workers.steps.hooked import frame_member, frame_patch, preview_pictures

CROP = Crop(frame=4, region=(8, 0, 40, 16), bbox=(8, 0, 40, 16), size=(64, 32), seed=1, mask=0, segment=2)
TASK = DetailTask(id="detail.0.0", key="k", source="face", variation=1, crops=(CROP,))
FRAME = PlannedFrame(position=4, number=5, name="shot.0005.png", digest="d")
PLAN = Plan(job="j", chunk=0, core=(4, 5), frames=(FRAME,), masks="", tasks=(TASK,), paste={})


def test_a_preview_is_the_crop_with_its_patch_pasted_by_its_mask() -> None:
    mask = np.zeros((16, 32), dtype=np.float32)
    mask[:, 16:] = 1
    before, patch = np.zeros((16, 32, 3), dtype=np.float32), np.full((16, 32, 3), 200, dtype=np.uint8)
    found = preview_pictures("j", PLAN, TASK, [DenoiseSchedule(), Preview()], [(before, mask, patch)])
    assert list(found) == ["jobs/j/preview/shot.0005_face_2-b1.webp"]
    drawn = decode(found["jobs/j/preview/shot.0005_face_2-b1.webp"])
    assert drawn[:, :12].max() < 8
    assert abs(int(drawn[:, 20:].mean()) - 200) < 4
    assert preview_pictures("j", PLAN, TASK, [DenoiseSchedule()], [(before, mask, patch)]) == {}


def test_a_frame_that_a_hook_changed_is_pasted_whole_and_bit_by_bit() -> None:
    frame = np.random.default_rng(0).random((6, 8, 3), dtype=np.float32)
    patch = frame_patch({frame_member(3): encode_npy(frame)}, 3)
    assert patch is not None
    assert np.array_equal(patch.pixels, frame)
    assert patch.mask.all()
    assert (*patch.box,) == (0, 0, 8, 6)
    assert frame_patch({}, 3) is None
