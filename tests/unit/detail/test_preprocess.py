from __future__ import annotations

import numpy as np

from farm.detail.preprocess import canny, unchanged


def _square(value: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    picture = np.zeros((32, 40, 3), dtype=np.float32)
    picture[8:24, 8:30] = value
    return picture


def test_canny_draws_outlines_in_white_on_black() -> None:
    found = canny(0.4, 0.8)(_square(1.0), None)
    assert found.shape == (32, 40, 3)
    assert set(np.unique(found)) == {0.0, 1.0}
    assert found[6:10, 12:26].any(axis=0).all()
    assert not found[12:20, 12:26].any()


def test_thresholds_decide_how_strong_an_edge_must_be() -> None:
    faint = _square(0.1)
    assert canny(0.05, 0.1)(faint, None).any()
    assert not canny(0.8, 0.9)(faint, None).any()


def test_without_a_preprocessor_the_crop_is_shown() -> None:
    assert unchanged(_square(0.5), None) is not None
