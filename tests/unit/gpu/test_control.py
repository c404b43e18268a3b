"""ControlNets and further prompts: what they are shown, when and where they act, and that a row's result is its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.detail.enhance import CropInput
from farm.domain.detailer import REPAINTING, Detailer, JobType
from tests.unit.gpu.demo import FOLDER
from tests.unit.gpu.tiny import save_control_net, save_narrow_net
from workers.gpu.batch import Batch, ConditioningUse, ControlUse
from workers.gpu.control import ALWAYS, Control, Controls, shown_at, sigma_at
from workers.gpu.denoiser import Beside, Context, Denoiser, Guidance
from workers.gpu.engine import Engine, open_engine
from workers.gpu.faults import BadModel
from workers.gpu.networks import Extra
from workers.gpu.sigmas import SigmaTable, betas_of
from workers.gpu.windows import Layout

TABLE = SigmaTable(betas_of({}))
PICTURE = np.random.default_rng(0).random((8, 12, 3), dtype=np.float32).repeat(4, axis=0).repeat(4, axis=1)
EDGES = (np.random.default_rng(1).random((32, 48, 3)) < 0.2).astype(np.float32)
CPU = torch.device("cpu")


def test_percents_are_noise_levels_counted_from_the_noisiest() -> None:
    assert sigma_at(0, TABLE) == ALWAYS
    assert sigma_at(1, TABLE) == 0
    assert sigma_at(0.25, TABLE) == pytest.approx(float(TABLE.sigma(torch.tensor(0.75 * 999))))
    assert sigma_at(0.2, TABLE) > sigma_at(0.8, TABLE)


def test_control_pictures_are_cut_to_the_sides_ratio_and_scaled_to_the_nearest_pixel() -> None:
    picture = np.zeros((2, 6, 3), dtype=np.float32)
    picture[:, 2], picture[:, 3] = 0.25, 0.75
    assert torch.equal(
        shown_at([picture], (4, 4), CPU)[0, 0], torch.tensor([0.25, 0.25, 0.75, 0.75]).expand(4, 4).contiguous()
    )
    assert shown_at([picture, EDGES], (16, 24), CPU).shape == (2, 3, 16, 24)
    assert torch.equal(shown_at([EDGES], (32, 48), CPU)[0], torch.from_numpy(EDGES).permute(2, 0, 1))


class Net:
    """A ControlNet that adds what it is shown, by its strength."""

    class config:  # noqa: N801 - as diffusers names it
        in_channels = 4

    def __call__(
        self, x: Tensor, timestep: Tensor, text: Tensor, shown: Tensor, strength: float, **told: object
    ) -> tuple[list[Tensor], Tensor]:
        assert told == {"added_cond_kwargs": None, "return_dict": False}
        assert x.shape[1] == 4
        mean = shown.mean(dim=(1, 2, 3))[:, None, None, None] * strength
        return [x * 0 + mean], x * 0 + 2 * mean


def _controlled(extra: Extra) -> object:
    def network(x: Tensor, timestep: int, text: Tensor) -> Tensor:
        added = extra(x.flatten(0, 1), torch.tensor(timestep), text, {})
        total = added["down_block_additional_residuals"][0] + added["mid_block_additional_residual"]
        return x[:, :, :4] * 0 + torch.as_tensor(total).reshape(*x.shape[:2], 4, *x.shape[3:])

    return network


def _part(strength: float, highest: float = ALWAYS, lowest: float = 0.0) -> Control:
    shown = torch.stack([torch.full((3, 8, 8), float(row)) for row in range(3)])
    return Control(Net(), strength, highest, lowest, shown)


def _denoised(parts: tuple[Control, ...], sigma: float, motion: bool = False) -> Tensor:
    controls = Controls(parts, _controlled)  # type: ignore[arg-type]  # a network that mypy takes for an object
    guidance = Guidance(torch.zeros((1, 77, 2)), torch.zeros((1, 77, 2)), 2.0)
    context = Context(2, Layout(2, 1, fuse="flat")) if motion else Context(2)
    denoiser = Denoiser(lambda x, t, text: x * 0, TABLE, guidance, context, beside=Beside(controls=controls))
    return denoiser(torch.zeros((3, 4, 2, 2)), torch.tensor(sigma))


@pytest.mark.parametrize("motion", [False, True])
def test_each_row_has_its_own_picture_and_several_nets_add_up(motion: bool) -> None:
    clean = _denoised((_part(1.0), _part(0.5)), 2.0, motion)
    assert torch.allclose(clean[:, 0, 0, 0], torch.tensor([0.0, -9.0, -18.0]))


def test_a_net_acts_between_its_levels_both_included() -> None:
    for sigma, acts in ((5.1, False), (5.0, True), (2.0, True), (1.0, True), (0.9, False)):
        assert bool(_denoised((_part(1.0, 5.0, 1.0),), sigma).any()) == acts


def test_rows_that_are_run_alone_keep_their_pictures() -> None:
    controls = Controls((_part(1.0),), _controlled).only(slice(2, 3))  # type: ignore[arg-type]  # as above
    assert float(controls.parts[0].shown.mean()) == 2


@cache
def _engine() -> Engine:
    return open_engine("diffusers", device="cpu", threads=1)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two ControlNets for the embedded model."""
    folder = tmp_path_factory.mktemp("nets")
    return save_control_net(folder / "one", 1), save_control_net(folder / "two", 2)


def _crops(count: int, shown: int) -> tuple[CropInput, ...]:
    return tuple(
        CropInput(np.roll(PICTURE, k, axis=1), None, (64, 40), 3, k, controls=(np.roll(EDGES, 3 * k, axis=0),) * shown)
        for k in range(count)
    )


def _patches(
    *uses: ControlUse, count: int = 1, job_type: JobType = JobType.MASK, **parameters: object
) -> list[NDArray[np.uint8]]:
    detailer = Detailer.model_validate({"steps": 2, "cfg": 1.5, "denoise": 0.6, "prompt": "sharp"} | parameters)
    batch = Batch(job_type, detailer, _crops(count, len(uses)), FOLDER, None, 9, controls=uses)
    return _engine().detail(batch, lambda step, steps: None)


@pytest.mark.parametrize("job_type", REPAINTING)
def test_strength_zero_and_a_range_that_is_not_run_are_as_none(nets: tuple[Path, Path], job_type: JobType) -> None:
    plain = _patches(count=2, job_type=job_type)
    for use in (ControlUse(nets[0], 0.0, 0, 1), ControlUse(nets[0], 1.0, 0, 0.1)):
        assert np.array_equal(np.stack(_patches(use, count=2, job_type=job_type)), np.stack(plain))
    acting = _patches(ControlUse(nets[0], 1.0, 0, 1), count=2, job_type=job_type)
    assert all(not np.array_equal(one, other) for one, other in zip(acting, plain, strict=True))


def test_strength_picture_and_net_decide_and_the_sum_has_no_order(nets: tuple[Path, Path]) -> None:
    one, two = (ControlUse(net, 1.0, 0, 1) for net in nets)
    weak = ControlUse(nets[0], 0.3, 0, 1)
    late = ControlUse(nets[0], 1.0, 0.7, 1)
    found = [_patches(*uses)[0] for uses in ((one,), (two,), (weak,), (late,), (one, two))]
    for i, first in enumerate(found):
        for second in found[i + 1 :]:
            assert not np.array_equal(first, second)
    assert np.abs(found[4].astype(int) - _patches(two, one)[0]).max() <= 1


@pytest.mark.parametrize("sampler_name", ["euler", "dpm_adaptive"])
def test_a_crop_looks_the_same_alone_and_in_a_batch(nets: tuple[Path, Path], sampler_name: str) -> None:
    use = ControlUse(nets[0], 1.0, 0, 1)
    together = _patches(use, count=2, sampler_name=sampler_name)[1]
    batch = Batch(
        JobType.MASK,
        Detailer(steps=2, cfg=1.5, denoise=0.6, prompt="sharp", sampler_name=sampler_name),
        _crops(2, 1)[1:],
        FOLDER,
        None,
        9,
        controls=(use,),
    )
    levels = np.abs(_engine().detail(batch, lambda step, steps: None)[0].astype(int) - together)
    assert levels.max() <= 1
    assert (levels > 0).mean() < 1e-2


def test_a_net_of_another_kind_and_a_folder_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no ControlNet of diffusers' layout"):
        _patches(ControlUse(FOLDER, 1.0, 0, 1))
    with pytest.raises(BadModel, match="made for another kind of model"):
        _patches(ControlUse(save_narrow_net(tmp_path), 1.0, 0, 1))


def _prompted(*uses: ConditioningUse, masks: tuple[NDArray[np.float32], ...] = (), cfg: float = 4) -> NDArray[np.uint8]:
    crop = CropInput(PICTURE, None, (64, 40), 3, 0, conditionings=masks)
    detailer = Detailer(steps=2, cfg=cfg, denoise=0.6, prompt="sharp", negative="gray")
    batch = Batch(JobType.MASK, detailer, (crop,), FOLDER, None, 1, conditionings=uses)
    return _engine().detail(batch, lambda step, steps: None)[0]


def test_a_further_prompt_acts_where_its_mask_is_white_and_by_its_strength() -> None:
    plain = _prompted()
    white, black = np.ones((7, 9), dtype=np.float32), np.zeros((4, 4), dtype=np.float32)
    use = ConditioningUse("blurry", 1.0)
    assert np.array_equal(_prompted(use, masks=(black,)), plain)
    assert not np.array_equal(_prompted(use, masks=(white,)), plain)
    assert not np.array_equal(_prompted(use, masks=(white,)), _prompted(ConditioningUse("blurry", 5.0), masks=(white,)))
    away = ConditioningUse("blurry", 1.0, negative=True)
    assert not np.array_equal(_prompted(away, masks=(white,)), _prompted(use, masks=(white,)))
    assert np.array_equal(_prompted(away, masks=(white,), cfg=1), _prompted(cfg=1))


def test_the_segments_own_prompt_as_a_further_one_changes_nothing() -> None:
    use = ConditioningUse("sharp", 3.0)
    levels = np.abs(_prompted(use, masks=(np.ones((7, 9), dtype=np.float32),)).astype(int) - _prompted())
    assert levels.max() <= 1
