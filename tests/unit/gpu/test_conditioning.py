from __future__ import annotations

import torch

from tests.unit.gpu.demo import demo_model


def test_a_short_prompt_is_one_chunk_of_77_tokens() -> None:
    assert demo_model().text.encode("sharp, detailed").shape == (1, 77, 128)
    assert demo_model().text.encode("").shape == (1, 77, 128)


def test_a_long_prompt_is_encoded_chunk_by_chunk() -> None:
    text = demo_model().text
    long = text.encode("sharp " * 200)
    assert long.shape[1] % 77 == 0
    assert long.shape[1] > 77
    assert torch.equal(long[:, :77], text.encode("sharp " * 400)[:, :77])


def test_a_weight_of_one_changes_nothing() -> None:
    text = demo_model().text
    assert torch.allclose(text.encode("sharp (fox:1.0)"), text.encode("sharp fox"), atol=1e-6)


def test_a_weight_moves_tokens_away_from_the_empty_prompts() -> None:
    text = demo_model().text
    plain, empty = text.encode("fox"), text.encode("")
    heavy, light = text.encode("(fox:1.5)"), text.encode("(fox:0)")
    changed = (heavy != plain).any(dim=-1)[0]
    assert 0 < int(changed.sum()) < 20
    assert torch.allclose(heavy[0, changed], (empty + 1.5 * (plain - empty))[0, changed], atol=1e-5)
    assert torch.allclose(light[0, changed], empty[0, changed], atol=1e-5)


def test_a_prompt_is_encoded_once() -> None:
    text = demo_model().text
    assert text.encode("a brown bear") is text.encode("a brown bear")
