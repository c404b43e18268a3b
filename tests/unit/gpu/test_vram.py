from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.gpu.vram import MARGIN, PRIOR_BYTES, VramModel

GIB = 1 << 30
CALLS = st.lists(
    st.tuples(st.integers(64, 20_000), st.integers(1, 128), st.integers(1 << 16, 8 << 30)), min_size=0, max_size=30
)


def _after(calls: list[tuple[int, int, int]]) -> VramModel:
    model = VramModel()
    for pixels, batch, used in calls:
        model = model.observed(pixels, batch, used)
    return model


def _learned(fixed: float, slope: float, noise: float = 0.0) -> VramModel:
    """After calls of many sizes that take `fixed + slope * pixels * batch` bytes, up to so much noise."""
    model = VramModel()
    for number in range(60):
        pixels, batch = (1024, 4096, 9216)[number % 3], (1, 2, 8, 16)[number % 4]
        used = (fixed + slope * pixels * batch) * (1 + noise * (number % 5 - 2) / 2)
        model = model.observed(pixels, batch, int(used))
    return model


def test_before_any_call_a_call_is_believed_to_take_much() -> None:
    assert VramModel().bytes(4096, 1) == MARGIN * 4096 * PRIOR_BYTES
    assert VramModel().batch(4096, 8 * GIB, 64) == 15


def test_it_learns_what_calls_take() -> None:
    model = _learned(fixed=0.2 * GIB, slope=30_000)
    for pixels, batch in ((4096, 4), (16384, 2), (1024, 64)):
        true = 0.2 * GIB + 30_000 * pixels * batch
        assert true < model.bytes(pixels, batch) < 1.25 * true


def test_what_is_said_to_fit_fits_though_calls_are_not_quite_regular() -> None:
    fixed, slope = 0.1 * GIB, 25_000.0
    model = _learned(fixed, slope, noise=0.04)
    for room in (2 * GIB, 10 * GIB, 60 * GIB):
        batch = model.batch(4096, room, 10_000)
        assert fixed + slope * 4096 * batch < room
        assert fixed + slope * 4096 * (batch * 1.35 + 1) > room


def test_calls_of_one_size_teach_a_line_through_nothing() -> None:
    model = _after([(4096, 8, 2 * GIB)] * 200)
    assert model.bytes(4096, 16) / model.bytes(4096, 8) == 2
    assert abs(model.bytes(4096, 8) / (MARGIN * 2 * GIB) - 1) < 0.01


def test_after_a_refusal_less_is_tried() -> None:
    model = _learned(fixed=0, slope=10_000)
    batch = model.batch(4096, 4 * GIB, 1000)
    for _ in range(3):
        model = model.refused(4096, batch, 4 * GIB)
        smaller = model.batch(4096, 4 * GIB, 1000)
        assert smaller <= batch
        batch = smaller
    assert model.bytes(4096, 97) > 4 * GIB


@given(CALLS, st.integers(64, 20_000), st.integers(1, 500), st.integers(0, 200 << 30), st.integers(1, 256))
def test_larger_calls_never_take_less_and_a_batch_is_never_out_of_bounds(
    calls: list[tuple[int, int, int]], pixels: int, batch: int, room: int, most: int
) -> None:
    model = _after(calls)
    assert 0 < model.bytes(pixels, batch) <= model.bytes(pixels, batch + 1) <= model.bytes(pixels + 1, batch + 1)
    assert 1 <= model.batch(pixels, room, most) <= most
    assert model.batch(pixels, room, most) <= model.batch(pixels, room + GIB, most)
