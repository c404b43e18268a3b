from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from farm.errors import OutOfMemory
from workers.gpu.fitting import Fitting, Meter
from workers.gpu.rungs import VaeRung

X = torch.randn((7, 3, 4, 4), generator=torch.Generator().manual_seed(0))
TEXT = torch.tensor([1.0, -2.0])


class Call:
    """A network that fits up to so many samples; with sliced attention, one more."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.sliced = False
        self.tried: list[int] = []

    def slice_attention(self, sliced: bool) -> None:
        self.sliced = sliced

    def __call__(self, rows: slice, texts: slice) -> Tensor:
        found = X[rows][None] * TEXT[texts].reshape(-1, 1, 1, 1, 1)
        samples = found.shape[0] * found.shape[1]
        self.tried.append(samples)
        if samples > self.fits + self.sliced:
            raise OutOfMemory("too much")
        return found


def _whole() -> Tensor:
    return X[None] * TEXT.reshape(-1, 1, 1, 1, 1)


def _fitted(call: Call, fitting: Fitting, together: bool = False) -> Tensor:
    fitting.slice_attention = call.slice_attention
    return fitting.unet(call, (7, 2, 16), together)


def test_what_fits_is_one_call() -> None:
    call = Call(14)
    assert torch.equal(_fitted(call, Fitting()), _whole())
    assert call.tried == [14]


@pytest.mark.parametrize("fits", range(1, 14))
def test_what_does_not_fit_is_called_in_parts_with_the_same_result(fits: int) -> None:
    assert torch.equal(_fitted(Call(fits), Fitting()), _whole())


def test_what_worked_is_remembered_for_the_size() -> None:
    fitting, call = Fitting(), Call(4)
    _fitted(call, fitting)
    assert call.tried == [14, 6, 2, 2, 2, 2, 2, 2, 2]
    call.tried.clear()
    _fitted(call, fitting)
    assert max(call.tried) <= 4
    call.tried.clear()
    fitting.unet(call, (2, 1, 99))
    assert call.tried == [2]


def test_frames_that_see_each_other_are_parted_by_text_only() -> None:
    call = Call(7)
    assert torch.equal(_fitted(call, Fitting(), together=True), _whole())
    assert call.tried == [14, 7, 7]


def test_attention_is_cut_last_and_only_where_it_must_be() -> None:
    fitting, call = Fitting(), Call(6)
    assert torch.equal(_fitted(call, fitting, together=True), _whole())
    assert call.tried == [14, 7, 7, 7]
    assert call.sliced
    fitting.unet(call, (2, 2, 4))
    assert not call.sliced


def test_where_nothing_is_left_it_does_not_fit() -> None:
    with pytest.raises(OutOfMemory, match="too much"):
        _fitted(Call(-1), Fitting())


class Scripted(Meter):
    """A device of so many bytes, of which each sample takes 1000."""

    def __init__(self, size: int) -> None:
        super().__init__(torch.device("cpu"))
        self.size = size
        self.samples = 0
        self.cleared = 0

    def room(self) -> int | None:
        return self.size

    def measured(self, call: Callable[[], Tensor]) -> tuple[Tensor, int | None]:  # type: ignore[override]  # one kind
        result = call()
        return result, 1000 * result.shape[0] * result.shape[1]

    def clear(self) -> None:
        self.cleared += 1


def test_on_a_device_that_is_measured_parts_are_as_large_as_is_expected_to_fit() -> None:
    meter = Scripted(8000)
    fitting, call = Fitting(meter), Call(8)
    for _ in range(20):
        call.tried.clear()
        assert torch.equal(_fitted(call, fitting), _whole())
    # 3 rows by 2 texts, with the margin; and parts of about one size.
    assert call.tried == [6, 6, 2]
    assert meter.cleared == 0


def test_a_refused_call_is_learned_from() -> None:
    meter = Scripted(10_000_000_000)
    fitting, call = Fitting(meter), Call(8)
    assert torch.equal(_fitted(call, fitting), _whole())
    assert call.tried[0] == 14
    assert meter.cleared == 1
    assert max(call.tried[1:]) <= 8


def test_the_vae_goes_down_its_own_ladder_by_size_and_way() -> None:
    fitting, tried = Fitting(), list[VaeRung]()

    def call(rung: VaeRung) -> int:
        tried.append(rung)
        if rung.tiles < 2:
            raise OutOfMemory("too much")
        return rung.tiles

    assert fitting.vae("decode", 512 * 512, 4, call) == 2
    assert [rung.pictures for rung in tried] == [4, 2, 1, 1]
    assert (fitting.tiles("decode", 512 * 512), fitting.tiles("encode", 512 * 512)) == (2, 1)
    tried.clear()
    assert fitting.vae("decode", 512 * 512, 4, call) == 2
    assert tried == [VaeRung(1, 2)]
