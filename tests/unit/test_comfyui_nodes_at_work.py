"""The node pack: runs against a farm in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from farm.adapters.model_registry import add_model
from farm.domain.detailer import JobType
from farm.domain.state import JobState
from tests.comfyui_pack import defaults, node, part, widgets
from tests.e2e.shots import make_model
from tests.unit.client.conftest import KEY, Running, running

__all__ = ["running"]
MASK, MOVING = "MaskDetailerPipeFarm", "DetailerForEachPipeForAnimateDiffFarm"
NODES = (MASK, MOVING)
JOB_TYPES = {MASK: JobType.MASK, MOVING: JobType.ANIMATEDIFF}
QUICK = {"steps": 2, "guide_size": 64.0, "max_size": 128.0, "crop_factor": 1.4}


@pytest.fixture
def near(running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Running]:
    """A farm whose worker works, and the environment of a ComfyUI that knows its key."""
    add_model("moving", make_model(tmp_path / "moving"), running.blobs)
    monkeypatch.setenv("FARM_URL", running.url)
    monkeypatch.setenv("FARM_API_KEY", KEY.partition(":")[2])
    part("widgets")._seen.clear()
    yield running
    part("widgets")._seen.clear()


def scene(frames: int = 3) -> torch.Tensor:
    rows, columns = np.mgrid[0:48, 0:64]
    pictures = [np.stack([rows * 5, columns * 3, rows + columns + f], axis=2) % 256 for f in range(frames)]
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)


def square() -> torch.Tensor:
    mask = torch.zeros((48, 64))
    mask[12:36, 16:48] = 1
    return mask


def asked(farm: Running, name: str, **changes: object) -> dict[str, Any]:
    return {**defaults(name), "farm": farm.url, "model": "moving", "positive": "x", **QUICK, **changes}


def test_the_farms_models_are_offered(near: Running) -> None:
    assert widgets(MASK)["model"][0] == ["demo", "moving"]
    assert widgets(MASK)["vae"][0] == [part("widgets").OWN]


def test_without_a_farm_the_node_is_there_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    part("widgets")._seen.clear()
    monkeypatch.setenv("FARM_URL", "http://127.0.0.1:9")
    assert widgets(MASK)["model"][0] == ["demo"]
    part("widgets")._seen.clear()


def test_masked_frames_come_back_detailed_and_the_rest_untouched(near: Running) -> None:
    pipe = object()
    with near.working():
        image, refined, alpha, basic, _ = node(MASK).detail(
            scene(), square(), basic_pipe=pipe, **asked(near, MASK, batch_size=2)
        )
    assert image.shape == (6, 48, 64, 3)
    assert image.dtype == torch.float32
    assert basic is pipe
    assert torch.equal(image[:3, :4], scene()[:, :4])
    assert not torch.equal(image[:3], scene())
    assert not torch.equal(image[:3], image[3:])
    assert len(refined) == len(alpha) == 6
    assert (refined[0].shape[0], refined[0].shape[3], alpha[0].shape[3]) == (1, 3, 4)


def test_a_mask_without_anything_in_it_asks_nothing_of_the_farm() -> None:
    image, refined, _, _, _ = node(MASK).detail(
        scene(), torch.zeros((48, 64)), **{**defaults(MASK), "farm": "http://127.0.0.1:9", "batch_size": 2}
    )
    assert torch.equal(image, scene().repeat(2, 1, 1, 1))
    assert refined[0].shape == (1, 64, 64, 3)


def segs(masks: int = 1) -> tuple[tuple[int, int], list[Any]]:
    mask = np.zeros((32, 40), np.float32)
    mask[6:26, 8:32] = 1
    cropped = mask if masks == 1 else np.stack([mask] * masks)
    return (48, 64), [part("segs").SEG(None, cropped, np.float32(0.9), (8, 6, 48, 38), (16, 12, 40, 32), "face")]


@pytest.mark.parametrize("masks", [1, 3])
def test_segs_come_back_with_what_was_made_of_them(near: Running, masks: int) -> None:
    given = segs(masks)
    with near.working():
        image, made, _, cnet = node(MOVING).detail(scene(), given, **asked(near, MOVING, crop_factor=3.0))
    assert image.shape == (3, 48, 64, 3)
    assert not torch.equal(image, scene())
    assert cnet == []
    assert made[0] == (48, 64)
    assert made[1][0].cropped_image.shape == (3, 32, 40, 3)
    # The middle of the crop is where nothing of the frame shows through.
    assert np.allclose(made[1][0].cropped_image[:, 16, 20], image[:, 22, 28], atol=1 / 255)
    assert made[1][0].crop_region == given[1][0].crop_region


def test_without_segs_the_frames_are_handed_on() -> None:
    frames = scene()
    empty: tuple[tuple[int, int], list[Any]] = ((48, 64), [])
    image, made, _, cnet = node(MOVING).detail(frames, empty, **{**defaults(MOVING), "farm": "http://127.0.0.1:9"})
    assert image is frames
    assert (made, cnet) == (empty, [])


def test_masks_of_another_count_than_the_frames_count_all_together() -> None:
    given = segs(2)
    given[1][0].cropped_mask[0] = 0
    (entry,) = part("segs").document(given, 5)["segs"]
    assert isinstance(entry["mask"], str)


def test_segs_with_a_controlnet_are_refused() -> None:
    (header, (one,)) = segs()
    with pytest.raises(part("api").FarmError, match="carries a ControlNet"):
        part("segs").document((header, [one._replace(control_net_wrapper=object())]), 3)


def test_progress_is_shown_and_the_stop_button_cancels_the_job(near: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int]] = []

    class Bar:
        def __init__(self, total: int) -> None:
            self.total = total

        def update_absolute(self, value: int, total: int) -> None:
            shown.append((value, total))

    class Stopped(Exception):
        pass

    def stop() -> None:
        if shown:
            raise Stopped

    monkeypatch.setitem(sys.modules, "comfy", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "comfy.utils", SimpleNamespace(ProgressBar=Bar))
    pressed = SimpleNamespace(throw_exception_if_processing_interrupted=stop)
    monkeypatch.setitem(sys.modules, "comfy.model_management", pressed)
    with pytest.raises(Stopped):
        node(MASK).detail(scene(), square(), **asked(near, MASK))
    assert shown == [(0, 3)]
    with near.client() as client:
        (job,) = client.jobs()
    assert job.status in (JobState.CANCELED, JobState.CANCEL_REQUESTED)


def test_what_the_farm_refuses_is_told_in_its_words(near: Running) -> None:
    with pytest.raises(part("api").FarmError, match="'nothing'"):
        node(MASK).detail(scene(), square(), **asked(near, MASK, model="nothing"))


def test_a_wrong_key_is_told_with_where_it_belongs(near: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_API_KEY", "wrong")
    with pytest.raises(part("api").FarmError, match="Set FARM_API_KEY where ComfyUI is started"):
        node(MASK).detail(scene(), square(), **asked(near, MASK))


def test_a_node_is_to_run_again_when_a_name_stands_for_another_model(near: Running, tmp_path: Path) -> None:
    made = node(MASK)
    before = made.IS_CHANGED(farm=near.url, model="moving", vae="", steps=2)
    assert before == made.IS_CHANGED(farm=near.url, model="moving", vae="", steps=9)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model_index.json").write_text('{"other": 1}')
    add_model("moving", tmp_path / "other", near.blobs)
    assert made.IS_CHANGED(farm=near.url, model="moving", vae="") != before
    assert made.IS_CHANGED(farm="http://127.0.0.1:9", model="moving", vae="") == " "
