"""A video in, a video out: its frames, rate and sound; what a damaged one costs."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from farm.adapters.pictures import decode, encode_png
from farm.adapters.video import probe
from farm.domain import keys
from farm.domain.detailer import JobType
from farm.domain.state import JobState, TaskState
from farm.ports import TaskFilter
from tests.e2e.any_order import AnyOrderFarm
from tests.e2e.reference import differing, final_frames
from tests.e2e.shots import MODEL, Handed, make_model, mask, picture, request
from tests.unit.adapters.clips import make_clip, sound_packets

RATE = Fraction(24000, 1001)
FRAMES = 75
GROUP = 25
"""Frames from key frame to key frame."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three groups of pictures with sound."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    options = {"g": str(GROUP), "sc_threshold": "0", "bf": "2", "threads": "1"}
    return make_clip(path, [picture(n) for n in range(FRAMES)], options=options, unit=1 / RATE, sound="aac")


def hand_in(clip: Path, farm: AnyOrderFarm, folder: Path) -> Handed:
    """The video with one picture as mask for each segment."""
    farm.add_model(MODEL, make_model(folder / "model"))
    masks = {}
    for name in ("left", "over", "right"):
        path = folder / f"{name}.png"
        path.write_bytes(encode_png(mask(name, 0)))
        masks[name] = farm.admit(path)
    return Handed(farm.admit(clip), masks)


def spoiled(clip: Path, packet: int, folder: Path) -> Path:
    """The clip with most of one stored frame set to zero."""
    with av.open(str(clip)) as container:
        places = [(entry.pos or 0, entry.size) for entry in container.demux(video=0) if entry.size]
    data = bytearray(clip.read_bytes())
    start, size = places[packet]
    data[start + 24 : start + size] = bytes(size - 24)
    path = folder / "spoiled.mp4"
    path.write_bytes(data)
    return path


def seconds(path: Path) -> tuple[Fraction, int]:
    """Rate and number of decoded frames of a video."""
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        return rate, sum(1 for _ in container.decode(video=0))


def test_the_video_has_the_rate_the_frames_and_the_sound_of_the_input(clip: Path, tmp_path: Path) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        job = farm.run(request(hand_in(clip, farm, tmp_path), JobType.MASK, outputs=("video",))).facts.id
    out = tmp_path / "out.mp4"
    out.write_bytes(farm.blobs.get(keys.video(job, 0)))
    assert seconds(out) == (RATE, FRAMES)
    assert sound_packets(out) == sound_packets(clip)
    assert probe(out).look.colors == probe(clip).look.colors
    frames = final_frames(farm.blobs, job)
    assert list(frames) == [f"{number:06d}.png" for number in range(1, FRAMES + 1)]
    with av.open(str(out)) as container:
        for frame, data in zip(container.decode(video=0), frames.values(), strict=True):
            shown = frame.to_ndarray(format="rgb24").astype(int)
            assert np.abs(shown - decode(data)).mean() < 6  # chroma is stored at half size, and the clip has grain


def test_a_damaged_group_of_a_video_fails_its_chunks_and_no_other(clip: Path, tmp_path: Path) -> None:
    with AnyOrderFarm(tmp_path / "run") as farm:
        broken = hand_in(spoiled(clip, GROUP + 5, tmp_path), farm, tmp_path)
        status = farm.run(request(broken, JobType.MASK))
        whole = farm.run(request(hand_in(clip, farm, tmp_path / "whole"), JobType.MASK)).facts.id
    assert status.state is JobState.FAILED
    job = status.facts.id
    failed = farm.farm.tasks(job, TaskFilter(states=(TaskState.FAILED,)), limit=100)
    named = [int(found[1]) for task in failed if (found := re.search(r"Frame (\d+) of the input", task.error))]
    assert named, failed
    assert all(GROUP < number <= 2 * GROUP for number in named)
    frames, expected = final_frames(farm.blobs, job), final_frames(farm.blobs, whole)
    there = {int(name[:6]) for name in frames}
    chunks = {(number - 1) // 8 for number in range(1, FRAMES + 1)}
    lost = {task.chunk for task in failed if task.kind == "plan"}
    assert there == {n for n in range(1, FRAMES + 1) if (n - 1) // 8 in chunks - lost}
    assert lost
    assert lost <= {(number - 1) // 8 for number in range(GROUP + 1, 2 * GROUP + 1)}
    assert differing(frames, {name: expected[name] for name in frames}) == []
