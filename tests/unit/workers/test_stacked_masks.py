"""A SEGS document with a mask for each frame: a frame reads its own, however many there are."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.adapters.pictures import decode_mask, encode_png
from farm.domain import keys
from farm.domain.job import Job
from farm.domain.media import Media
from farm.domain.plan import PlannedFrame
from farm.domain.ranges import layers
from farm.domain.segment import SegsDocument
from farm.service.skeleton import chunk_of
from tests.unit.service.test_farm import FRAMES, World
from workers.context import Tools
from workers.steps.plan import see

REGION = (4, 4, 12, 10)


def plane(frame: int) -> NDArray[np.uint8]:
    """`[6, 8]`: another pixel for each frame."""
    levels = np.zeros((6, 8), dtype=np.uint8)
    levels[frame // 8 % 6, frame % 8] = 255
    return levels


def world_of(planes: int) -> tuple[World, Tools]:
    """A farm that knows a document whose one segment has so many masks."""
    world = World()
    texts = [base64.b64encode(encode_png(plane(frame))).decode() for frame in range(planes)]
    entry = {"bbox": [4, 4, 12, 10], "crop_region": REGION, "mask": texts}
    document = SegsDocument.model_validate({"header": [36, 64], "segs": [entry]})
    world.blobs.put("media/blobs/doc", document.model_dump_json().encode())
    media = Media(id="doc", kind="segs", name="doc", blob="media/blobs/doc", width=64, height=36, frames=1)
    world.blobs.put(keys.media_doc("doc"), media.model_dump_json().encode())
    return world, Tools(world.blobs, Path("cache"), lambda: pytest.fail("no engine"), 10**6)


def planned(job: Job, first: int, count: int) -> list[PlannedFrame]:
    return [PlannedFrame(position=p, number=p + 1, name=f"{p}.png", digest="") for p in range(first, first + count)]


@pytest.mark.parametrize(("frames", "planes"), [(None, FRAMES), ("17-80", FRAMES), ("17-80", 64)])
def test_a_frame_reads_its_own_mask_alone(frames: str | None, planes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, tools = world_of(planes)
    clip = {"uri": "upload:clip000000000000"}
    part = {"frames": frames} if frames else {}
    job = world.farm.validate(world.request(input=clip | part, segments=[{"name": "a", "segs": "upload:doc"}]))
    read: list[int] = []

    def counted(data: bytes) -> NDArray[np.float32]:
        read.append(1)
        return decode_mask(data)

    monkeypatch.setattr("workers.steps.masks.decode_mask", counted)
    chunk = chunk_of(job, 1)
    run = planned(job, chunk.run_start, 16)
    found = see(tools, job, chunk, layers(job, chunk)[0], run).found["a"]
    assert len(read) == 16
    for position, (seg,) in found.items():
        number = position - job.start if planes == job.frames else position
        assert np.array_equal(seg.mask, plane(number).astype(np.float32) / 255)
