"""The figures of the model's card, and the rule by which a new model beats the one in use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.pictures import clip_frames
from demo.scene import SHARP, Range
from demo.training.evaluation import (
    CARD_CROPS,
    CHECK_CROPS,
    SIDE,
    ClipTooShort,
    FlickerRow,
    Measured,
    Painter,
    Row,
    crop_pair,
    held_out,
    recommended_denoise,
    rows_of,
    same_noise_name,
    still_name,
)
from demo.training.figures import Figures, change, color_moved, compare, foreign_change, mean
from demo.training.networks import load
from demo.training.presets import EMBEDDED
from demo.training.verdict import THROUGH_VAE, beats, judge
from farm.adapters.pictures import U8

GOOD = Figures(psnr=32.0, ssim=0.91, gmsd=0.10, grad=0.96, hf=0.87, w1=0.06)


def crop() -> tuple[U8, U8]:
    """The card's first crop, soft and sharp."""
    frame, left, top = CARD_CROPS[0]
    (_, pixels), *_ = clip_frames(SHARP, Range(frame + 1, frame + 1))
    return crop_pair(pixels, left, top, 3)


def test_the_soft_input_has_the_figures_of_the_card() -> None:
    soft, sharp = crop()
    figures = compare(soft, sharp)
    assert soft.shape == sharp.shape == (SIDE, SIDE, 3)
    # The card has means of four crops: 33.9, .946, .090, .86, .64, .139.
    assert figures.psnr == pytest.approx(33.9, abs=2)
    assert figures.ssim == pytest.approx(0.946, abs=0.02)
    assert figures.gmsd == pytest.approx(0.09, abs=0.02)
    assert figures.grad == pytest.approx(0.86, abs=0.05)
    assert figures.hf == pytest.approx(0.64, abs=0.05)
    assert figures.w1 == pytest.approx(0.139, abs=0.04)


def test_a_picture_is_the_same_as_itself() -> None:
    _, sharp = crop()
    figures = compare(sharp, sharp)
    assert figures.psnr == float("inf")
    assert (figures.gmsd, figures.grad, figures.hf, figures.w1) == (0, 1, 1, 0)
    assert figures.ssim == pytest.approx(1, abs=1e-5)


def test_noise_is_told_from_sharpness() -> None:
    soft, sharp = crop()
    noise = np.random.default_rng(0).normal(0, 6, soft.shape)
    noisy = np.clip(soft + noise, 0, 255).astype(np.uint8)
    assert compare(noisy, sharp).hf > 1
    assert compare(noisy, sharp).psnr < compare(soft, sharp).psnr
    assert compare(noisy, sharp).gmsd > compare(soft, sharp).gmsd


def test_means_and_moved_colors() -> None:
    other = replace(GOOD, psnr=30.0, w1=0.08)
    assert mean([GOOD, other]).psnr == 31
    assert mean([GOOD, other]).w1 == pytest.approx(0.07)
    given = np.full((4, 4, 3), 100, np.uint8)
    redder = given + np.array([3, 0, 1], np.uint8)
    assert color_moved([redder, given], [given, given]) == 1.5


def test_change_that_is_not_in_the_original_is_what_flickers() -> None:
    original = [np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30)]
    flickering = [original[0], original[1] + 4, original[2]]
    assert change(original) == 10
    assert foreign_change(original, original) == 0
    assert foreign_change(flickering, original) == 4


def measured(still: Figures, foreign: float, recommended: float, through_vae: Figures = GOOD) -> Measured:
    rows = (Row(still_name(recommended), still), Row(THROUGH_VAE, through_vae))
    return Measured(recommended, rows, (FlickerRow(same_noise_name(recommended), 2.0, foreign, still),))


@pytest.mark.parametrize(
    ("new", "foreign", "better"),
    [
        (GOOD, 1.4, True),
        (replace(GOOD, hf=0.95, w1=0.05), 1.4, True),
        (replace(GOOD, hf=1.12), 1.4, True),
        (replace(GOOD, hf=1.14), 1.4, False),
        (replace(GOOD, hf=0.86), 1.4, False),
        (replace(GOOD, w1=0.061), 1.4, False),
        (replace(GOOD, psnr=31.9, hf=0.95), 1.4, False),
        (replace(GOOD, ssim=0.908), 1.4, False),
        (replace(GOOD, gmsd=0.102), 1.4, False),
        (replace(GOOD, hf=0.95), 1.5, False),
    ],
)
def test_more_texture_counts_only_at_equal_likeness_and_flicker(new: Figures, foreign: float, better: bool) -> None:
    assert beats(judge(measured(new, foreign, 0.25), measured(GOOD, 1.4, 0.35))) == better


def test_what_is_sharp_must_come_through_the_vae_no_worse() -> None:
    better = replace(GOOD, hf=0.95, w1=0.05)
    assert not beats(judge(measured(better, 1.4, 0.3, replace(GOOD, hf=0.8)), measured(GOOD, 1.4, 0.3)))


def test_a_model_is_measured_at_the_denoise_that_it_recommends(tmp_path: Path) -> None:
    assert recommended_denoise(EMBEDDED) == 0.25
    assert recommended_denoise(tmp_path) == 0.3
    assert rows_of(0.3, flicker=False) == 9
    assert rows_of(0.35, flicker=True) == 10 + 2 + 9


def test_a_clip_without_the_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    with pytest.raises(ClipTooShort, match="has 3 frames"):
        held_out(path, 3)


def test_the_crops_to_check_on_are_others_and_lie_in_the_frame() -> None:
    assert not {frame for frame, _, _ in CARD_CROPS} & {frame for frame, _, _ in CHECK_CROPS}
    assert all(left <= 640 - 128 and top <= 360 - 128 for _, left, top in CARD_CROPS + CHECK_CROPS)


# diffusers' Euler scheduler makes an array of a tensor in a way that numpy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_embedded_model_makes_a_soft_crop_sharper_and_keeps_its_color() -> None:
    soft, sharp = crop()
    networks = load(EMBEDDED)
    networks.freeze()
    painter = Painter(networks)
    part = np.ascontiguousarray(soft[64:192, 64:192]), np.ascontiguousarray(sharp[64:192, 64:192])
    made = painter.paint(part[0], 0.25)
    assert (made == painter.paint(part[0], 0.25)).all()
    assert compare(made, part[1]).w1 < compare(part[0], part[1]).w1
    assert color_moved([made], [part[0]]) < 3
