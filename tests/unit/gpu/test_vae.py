from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.gpu.demo import FOLDER, demo_model
from workers.gpu import vae
from workers.gpu.faults import NotNumbers
from workers.gpu.parts import read_vae

PICTURES = list(np.random.default_rng(0).random((5, 43, 61, 3), dtype=np.float32))


def test_pictures_are_cut_to_whole_latent_pixels_around_their_center() -> None:
    codec = demo_model().codec
    latents = codec.encode(PICTURES)
    assert latents.shape == (5, 32, 5, 7)
    assert torch.equal(latents, codec.encode([picture[1:41, 2:58] for picture in PICTURES]))


def test_decoded_pictures_lie_between_zero_and_one() -> None:
    codec = demo_model().codec
    decoded = codec.decode(codec.encode(PICTURES) * 3)
    assert [picture.shape for picture in decoded] == [(40, 56, 3)] * 5
    assert min(float(picture.min()) for picture in decoded) == 0
    assert max(float(picture.max()) for picture in decoded) == 1


def test_a_picture_does_not_depend_on_those_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = demo_model().codec
    together = codec.encode(PICTURES)
    monkeypatch.setattr(vae, "PIXELS_AT_ONCE", 1)
    assert torch.allclose(together, codec.encode(PICTURES), rtol=1e-5, atol=1e-5)
    apart = codec.decode(together)
    monkeypatch.undo()
    assert np.allclose(codec.decode(together), apart, atol=1e-5)


def test_values_that_are_not_numbers_are_named() -> None:
    with pytest.raises(NotNumbers, match=r"decoding, computed in float32. Set another .*farm model verify"):
        demo_model().codec.decode(torch.full((1, 32, 4, 4), float("nan")))


@pytest.fixture
def half() -> vae.Codec:
    """The embedded model's VAE in a precision that ends at 65,504."""
    codec = vae.Codec(read_vae(FOLDER / "vae"), torch.device("cpu"), torch.bfloat16)
    codec._vae.to(torch.float16)
    codec._dtype = torch.float16
    return codec


def test_what_half_precision_cannot_hold_is_computed_again_in_float32_and_only_that(half: vae.Codec) -> None:
    whole = demo_model().codec
    small = whole.encode(PICTURES[:1])
    before = half.decode(small)[0]
    large = small * 1e5
    assert not torch.isfinite(half._decoded(large)).all()
    assert np.allclose(half.decode(large)[0], whole.decode(large)[0], atol=0.02)
    assert np.array_equal(half.decode(small)[0], before)


def test_where_float32_does_not_help_either_it_is_said(half: vae.Codec) -> None:
    with pytest.raises(NotNumbers, match=r"decoding, computed in float16 and again in float32. Set another"):
        half.decode(torch.full((1, 32, 4, 4), float("nan")))
