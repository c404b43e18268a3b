"""IP-Adapters: pictures beside the text."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from farm.detail.enhance import CropInput
from farm.domain.detailer import REPAINTING, Detailer, JobType
from tests.unit.gpu.demo import FOLDER
from tests.unit.gpu.tiny import save_control_net, save_ip_adapter
from workers.gpu.batch import Batch, ControlUse, ImagePromptUse
from workers.gpu.engine import Engine, open_engine
from workers.gpu.faults import BadModel

PICTURE = np.random.default_rng(0).random((8, 12, 3), dtype=np.float32).repeat(4, axis=0).repeat(4, axis=1)
RED, GREEN = (np.full((20, 30, 3), color, dtype=np.float32) for color in ((1, 0, 0), (0, 1, 0)))


@cache
def _engine() -> Engine:
    return open_engine("diffusers", device="cpu", threads=1)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that looks at a picture as a whole, one that looks at its parts."""
    folder = tmp_path_factory.mktemp("adapters")
    return save_ip_adapter(folder / "whole", 1), save_ip_adapter(folder / "parts", 2, patches=True)


def _patches(
    *uses: ImagePromptUse,
    shown: tuple[NDArray[np.float32], ...] = (RED,),
    job_type: JobType = JobType.MASK,
    controls: tuple[ControlUse, ...] = (),
    cfg: float = 1.5,
) -> list[NDArray[np.uint8]]:
    """A crop for each picture that is shown."""
    crops = tuple(
        CropInput(PICTURE, None, (64, 40), 3, k, controls=(PICTURE,) * len(controls), references=(picture,) * len(uses))
        for k, picture in enumerate(shown)
    )
    detailer = Detailer(steps=2, cfg=cfg, denoise=0.6, prompt="sharp")
    batch = Batch(job_type, detailer, crops, FOLDER, None, 9, controls=controls, image_prompts=uses)
    return _engine().detail(batch, lambda step, steps: None)


@pytest.mark.parametrize("kind", [0, 1], ids=["whole", "parts"])
@pytest.mark.parametrize("job_type", REPAINTING)
def test_weight_picture_and_range_decide(adapters: tuple[Path, Path], kind: int, job_type: JobType) -> None:
    plain = _patches(job_type=job_type)[0]
    use = ImagePromptUse(adapters[kind], 1.0, 0, 1)
    red = _patches(use, job_type=job_type)[0]
    others = [
        plain,
        _patches(use, shown=(GREEN,), job_type=job_type)[0],
        _patches(ImagePromptUse(adapters[kind], 0.3, 0, 1), job_type=job_type)[0],
    ]
    assert all(not np.array_equal(red, other) for other in others)
    for idle in (ImagePromptUse(adapters[kind], 0.0, 0, 1), ImagePromptUse(adapters[kind], 1.0, 0, 0.1)):
        levels = np.abs(_patches(idle, job_type=job_type)[0].astype(int) - plain)
        assert levels.max() <= 1
        assert (levels > 0).mean() < 1e-2


def test_each_crop_is_shown_its_own_picture_whatever_else_is_in_the_batch(adapters: tuple[Path, Path]) -> None:
    use = ImagePromptUse(adapters[0], 1.0, 0, 1)
    together = _patches(use, shown=(RED, GREEN))
    for patch, picture in zip(together, (RED, GREEN), strict=True):
        levels = np.abs(_patches(use, shown=(picture,))[0].astype(int) - patch)
        assert levels.max() <= 1
        assert (levels > 0).mean() < 1e-2


def test_adapters_and_controlnets_act_together_and_leave_no_trace(adapters: tuple[Path, Path], tmp_path: Path) -> None:
    before = _patches()[0]
    both = [ImagePromptUse(folder, 0.7, 0, 1) for folder in adapters]
    net = (ControlUse(save_control_net(tmp_path / "net"), 1.0, 0, 1),)
    found = [_patches(*both)[0], _patches(both[0])[0], _patches(both[1])[0], _patches(*both, controls=net)[0], before]
    for number, one in enumerate(found):
        assert all(not np.array_equal(one, other) for other in found[number + 1 :])
    assert np.array_equal(_patches()[0], before)
    assert np.array_equal(_patches(*both, cfg=1.0)[0], _patches(*both, cfg=1.0)[0])


def test_what_is_no_adapter_is_refused(adapters: tuple[Path, Path], tmp_path: Path) -> None:
    lone = tmp_path / "lone"
    lone.mkdir()
    with pytest.raises(BadModel, match=r"has 0 .safetensors files"):
        _patches(ImagePromptUse(lone, 1.0, 0, 1))
    (lone / "a.safetensors").write_bytes((adapters[0] / "ip_adapter.safetensors").read_bytes())
    with pytest.raises(BadModel, match="no image encoder"):
        _patches(ImagePromptUse(lone, 1.0, 0, 1))
    (lone / "a.safetensors").write_bytes((adapters[0] / "image_encoder" / "model.safetensors").read_bytes())
    with pytest.raises(BadModel, match="is no IP-Adapter"):
        _patches(ImagePromptUse(lone, 1.0, 0, 1))
