"""Which pixels a job changes: those under a paste mask, and no other by a single level."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.adapters.pictures import decode
from farm.domain.detailer import REPAINTING, JobType
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.paste_masks import paste_masks
from tests.e2e.reference import final_frames
from tests.e2e.shots import Handed, Shot, hand_in, picture, request


@pytest.mark.parametrize("job_type", REPAINTING)
def test_a_pixel_changes_only_where_a_paste_mask_is_not_zero(
    job_type: JobType, shot: Shot, handed: Handed, tmp_path: Path
) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        hand_in(shot, farm)
        job = farm.run(request(handed, job_type)).facts.id
    masks = paste_masks(farm.blobs, farm.farm.document(job), tmp_path / "cache")
    frames = final_frames(farm.blobs, job)
    assert frames.keys() == masks.keys()
    for number, (name, data) in enumerate(sorted(frames.items())):
        before, after = picture(number), decode(data)
        changed = (before != after).any(axis=2)
        assert not changed[masks[name] == 0].any(), name
        assert changed[masks[name] > 0.5].mean() > 0.9, name
        assert 0.05 < (masks[name] > 0).mean() < 0.5, name
