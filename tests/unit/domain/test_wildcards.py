"""The table of words in a wildcard text."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from farm.detail.box import Box
from farm.detail.segs import Seg
from farm.domain.wildcards import RANDOM_SEEDS, Assigned, BadWildcard, assign, check


def _seg(x: int, y: int, side: int = 10, label: str = "A") -> Seg:
    box = Box(x, y, x + side, y + side)
    return Seg((*box,), box, np.ones((side, side), dtype=np.float32), label)


RIGHT, LEFT_LOW, LEFT_HIGH = _seg(50, 0, 10, "a"), _seg(5, 30, 30, "b"), _seg(5, 2, 20, "c")
SEGS = (RIGHT, LEFT_LOW, LEFT_HIGH)


def _all(wildcard: str, segs: tuple[Seg, ...] = SEGS, seed: int = 7, prompt: str = "base") -> list[Assigned]:
    return assign(segs, wildcard, prompt, seed, lambda seg: bool(seg.mask.any()))


def _texts(wildcard: str, segs: tuple[Seg, ...] = SEGS, seed: int = 7) -> list[tuple[str, ...]]:
    return [given.prompt for given in _all(wildcard, segs, seed)]


def test_without_a_text_every_segment_has_the_prompt_in_its_order() -> None:
    given = _all("  ")
    assert [one.seg for one in given] == list(SEGS)
    assert all(one.prompt == () and one.seed is None and not one.skipped for one in given)


@pytest.mark.parametrize(
    ("wildcard", "order", "texts"),
    [
        ("one", [0, 1, 2], ["one"] * 3),
        ("one [SEP] two", [0, 1, 2], ["one", "two", "one"]),
        ("[ASC] one [SEP] two [SEP] three", [2, 1, 0], ["one", "two", "three"]),
        ("[DSC]one[SEP]two[SEP]three", [0, 1, 2], ["one", "two", "three"]),
        ("[ASC-SIZE] one [SEP] two", [0, 2, 1], ["one", "two", "one"]),
        ("[DSC-SIZE] one [SEP] two", [1, 2, 0], ["one", "two", "one"]),
    ],
)
def test_segments_are_ordered_and_texts_go_round(wildcard: str, order: list[int], texts: list[str]) -> None:
    given = _all(wildcard)
    assert [one.seg for one in given] == [SEGS[i] for i in order]
    assert [one.prompt for one in given] == [(text,) for text in texts]


def test_sorting_is_stable() -> None:
    twins = (_seg(5, 5), _seg(5, 5), _seg(1, 1))
    for word in ("[ASC]", "[DSC]", "[ASC-SIZE]", "[DSC-SIZE]"):
        kept = [one.seg for one in _all(f"{word} x", twins) if one.seg is not twins[2]]
        assert kept == list(twins[:2])


def test_concat_adds_to_the_prompt() -> None:
    assert _texts("[CONCAT] [ASC] one [SEP] two") == [("base", "one"), ("base", "two"), ("base", "one")]


def test_an_empty_text_leaves_the_prompt() -> None:
    assert _texts("one [SEP]") == [("one",), (), ("one",)]
    assert _texts("[CONCAT] one [SEP]")[1] == ()


def test_by_lot_texts_are_shuffled_anew_in_every_round_and_segments_keep_their_order() -> None:
    segs = tuple(_seg(i, 0) for i in range(40))
    wildcard = "[RND] one [SEP] two [SEP] three [SEP] four"
    given = _all(wildcard, segs)
    assert [one.seg for one in given] == list(segs)
    rounds = [tuple(one.prompt[0] for one in given[start : start + 4]) for start in range(0, 40, 4)]
    assert all(sorted(texts) == ["four", "one", "three", "two"] for texts in rounds)
    assert len(set(rounds)) > 1
    assert _texts(wildcard, segs) == _texts(wildcard, segs)
    assert _texts(wildcard, segs) != _texts(wildcard, segs, seed=8)


def test_texts_go_by_label_behind_what_all_have() -> None:
    wildcard = "[LAB]\n[ALL] laugh, eyes\n[b] blue\n[c] [SKIP]"
    given = _all(wildcard)
    assert [one.prompt for one in given] == [("laugh, eyes",), ("laugh, eyes blue",), ()]
    assert [one.skipped for one in given] == [False, False, True]
    assert _texts("[CONCAT][LAB] [b] blue") == [(), ("base", "blue"), ()]


def test_a_text_may_have_a_seed() -> None:
    seeds = [one.seed for one in _all("one [SEP:123] two [SEP:R] three")]
    assert seeds[:2] == [None, 123]
    assert 0 <= (seeds[2] or -1) < RANDOM_SEEDS
    assert seeds == [one.seed for one in _all("one [SEP:123] two [SEP:R] three")]
    assert seeds[2] != _all("one [SEP:123] two [SEP:R] three", seed=8)[2].seed


def test_skip_leaves_one_out_and_stop_all_that_follow() -> None:
    assert [one.skipped for one in _all("one [SEP] [SKIP] [SEP] three")] == [False, True, False]
    given = _all("one [SEP] [STOP] [SEP] three")
    assert [one.skipped for one in given] == [False, True, True]


def test_an_unmarked_segment_leaves_its_text_to_the_next() -> None:
    empty = Seg(RIGHT.bbox, RIGHT.crop_region, np.zeros((10, 10), dtype=np.float32))
    given = _all("one [SEP] two", (empty, LEFT_LOW, LEFT_HIGH))
    assert [one.prompt for one in given] == [(), ("one",), ("two",)]
    assert not given[0].skipped


def test_options_are_chosen_by_the_seed_with_their_weights_and_inside_each_other() -> None:
    segs = tuple(_seg(i, 0) for i in range(200))
    found = [text[0] for text in _texts("a {red|{dark|light} blue|8::green} ball", segs)]
    assert set(found) == {"a red ball", "a dark blue ball", "a light blue ball", "a green ball"}
    assert found.count("a green ball") > 100
    assert found == [text[0] for text in _texts("a {red|{dark|light} blue|8::green} ball", segs)]


def test_no_global_lot_is_drawn() -> None:
    random.seed(1)
    before = random.getstate()
    _all("[RND] {a|b} [SEP:R] c")
    assert random.getstate() == before


@pytest.mark.parametrize(
    ("wildcard", "says"),
    [
        ("a __flower__", "names a file: '__flower__'"),
        ("a <lora:x:1>", "names a LoRA"),
        ("{2$$a|b}", "several options"),
        ("one [SEP:x] two", r"\[SEP:x\] in a text"),
        ("one [ASC]", r"\[ASC\] in a text"),
        ("one [SKIP] two", r"\[SKIP\] in a text"),
        ("[ASC] [CONCAT] one", r"\[CONCAT\] in a text"),
        ("[LAB] [a] one [a] two", "label 'a' twice"),
        ("[LAB] one", "no label"),
        ("{" * 5000 + "a" + "}" * 5000, "5000 choices .* inside each other. At most 100 are read"),
        ("{" * 101, "101 choices"),
        ("{" + "9" * 400 + "::a|b}", "weight of ten digits or more"),
        ("one [SEP:99999999999999999999] two", "has the seed 99999999999999999999. Choose one of at most"),
    ],
)
def test_what_would_be_drawn_as_plain_text_is_refused(wildcard: str, says: str) -> None:
    with pytest.raises(BadWildcard, match=says):
        check("face", wildcard)


@pytest.mark.parametrize(
    "wildcard",
    ["", "one", "[CONCAT]one", "[ASC] a [SEP] [SKIP] [SEP:5] [STOP]", "[LAB][ALL] x [eye] [SKIP]", "(a:1.2), b\\(c\\)"],
)
def test_what_the_table_knows_is_accepted(wildcard: str) -> None:
    check("face", wildcard)
    assert list(islice(_all(wildcard), 1))
