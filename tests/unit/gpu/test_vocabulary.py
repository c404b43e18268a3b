"""The vocabulary that comes with the farm."""

from __future__ import annotations

import pytest

from workers.gpu.vocabulary import clip_tokenizer

KNOWN = {
    "": [],
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "A Photo of a CAT": [320, 1125, 539, 320, 2368],
    "hello world!": [3306, 1002, 256],
    "1girl, 8k": [272, 1611, 267, 279, 330],
}
"""As CLIP itself reads them."""


@pytest.mark.parametrize("text", KNOWN)
def test_texts_have_the_numbers_that_clip_was_trained_with(text: str) -> None:
    assert clip_tokenizer(True)(text, add_special_tokens=False).input_ids == KNOWN[text]


def test_start_end_and_padding_are_clips_and_openclips() -> None:
    clip, open_clip = clip_tokenizer(True), clip_tokenizer(False)
    assert (clip.bos_token_id, clip.eos_token_id, clip.pad_token_id) == (49_406, 49_407, 49_407)
    assert (open_clip.bos_token_id, open_clip.eos_token_id, open_clip.pad_token_id) == (49_406, 49_407, 0)
    assert len(clip) == 49_408
