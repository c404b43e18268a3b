from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from farm.errors import OutOfMemory
from tests.unit.gpu.demo import FOLDER, demo_model
from workers.gpu import vae
from workers.gpu.faults import NotNumbers
from workers.gpu.parts import read_vae
from workers.gpu.pictures import Pictures
from workers.gpu.vae import Codec

MANY = 2**18
"""Pixels: more than all pictures have."""
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
    apart = demo_model().codec
    latents = apart.encode(PICTURES)
    assert torch.equal(latents[2:3], apart.encode(PICTURES[2:3]))
    assert np.array_equal(apart.decode(latents)[2], apart.decode(latents[2:3])[0])
    monkeypatch.setattr(vae, "PIXELS_AT_ONCE", MANY)
    together = fresh(apart)
    assert torch.allclose(together.encode(PICTURES), latents, rtol=1e-5, atol=1e-5)
    assert np.allclose(together.decode(latents), apart.decode(latents), atol=1e-5)


class Scarce:
    """A VAE on a device that holds so many pixels in one call, of the encoder and of the decoder."""

    def __init__(self, codec: Codec, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[int, ...]] = []
        for part, scale in ((codec._vae.encoder, 1), (codec._vae.decoder, codec.factor**2)):
            self._guard(part, scale, pixels, monkeypatch)

    def _guard(self, part: Any, scale: int, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
        whole = part.forward

        def forward(x: torch.Tensor, *rest: Any) -> torch.Tensor:  # noqa: ANN401  whatever diffusers passes
            self.calls.append(tuple(x.shape))
            if x.shape[0] * x.shape[2] * x.shape[3] * scale > pixels:
                raise torch.OutOfMemoryError("CUDA out of memory")
            made: torch.Tensor = whole(x, *rest)
            return made

        monkeypatch.setattr(part, "forward", forward)


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> Codec:
    """The embedded model's, that has learned nothing yet and begins with all pictures at once."""
    monkeypatch.setattr(vae, "PIXELS_AT_ONCE", MANY)
    return fresh(demo_model().codec)


def fresh(known: Codec) -> Codec:
    """The same VAE with nothing learned."""
    return Codec(known._vae, torch.device("cpu"), torch.float32)


def test_where_memory_is_short_fewer_pictures_go_at_once_with_the_same_result(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = codec.encode(PICTURES)
    pictures = codec.decode(latents)
    scarce = Scarce(codec, 2 * 40 * 56, monkeypatch)
    assert torch.allclose(codec.encode(PICTURES), latents, atol=1e-5)
    assert np.allclose(codec.decode(latents), pictures, atol=1e-5)
    assert [shape[0] for shape in scarce.calls] == [5, 2, 2, 1, 5, 2, 2, 1]
    scarce.calls.clear()
    codec.encode(PICTURES)
    assert [shape[0] for shape in scarce.calls] == [2, 2, 1]
    assert codec.rungs(61, 43) == []


def test_where_one_picture_does_not_fit_it_goes_in_tiles_and_that_is_told(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = [np.kron(picture, np.ones((3, 3, 1), dtype=np.float32)) for picture in PICTURES[:2]]
    latents = codec.encode(big)
    pictures = codec.decode(latents)
    scarce = Scarce(codec, 100 * 140, monkeypatch)
    assert codec.rungs(183, 129) == []
    tiled = codec.encode(big)
    assert codec.rungs(183, 129) == ["vae_encode_tiles_2"]
    assert tiled.shape == latents.shape
    assert 0 < (tiled - latents).abs().mean() < 0.2 * latents.std()
    decoded = codec.decode(latents)
    assert codec.rungs(183, 129) == ["vae_encode_tiles_2", "vae_decode_tiles_2"]
    assert 0 < np.abs(np.stack(decoded) - np.stack(pictures)).mean() < 0.02
    assert codec.rungs(61, 43) == []
    monkeypatch.undo()
    # Another size is not touched by what this one needed.
    assert codec.encode(PICTURES).shape == (5, 32, 5, 7)
    assert max(shape[0] for shape in scarce.calls) == 2


def test_where_nothing_fits_the_device_is_too_small(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    Scarce(codec, 64, monkeypatch)
    with pytest.raises(OutOfMemory, match="encode a crop"):
        codec.encode(PICTURES)


def test_prepared_pictures_are_encoded_to_the_same_bits(codec: Codec) -> None:
    prepared = Pictures(PICTURES, pin=False)
    assert torch.equal(codec.encode(prepared), codec.encode(PICTURES))
    assert len(prepared) == 5
    assert all(np.array_equal(one, other) for one, other in zip(prepared, PICTURES, strict=True))
    assert np.array_equal(prepared[1], PICTURES[1])
    assert len(prepared[1:3]) == 2


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
