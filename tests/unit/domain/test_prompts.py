from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.prompts import DEEPEST, Run, TooDeep, embedding_names, parts, reads_differently, weighted


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a fox", [("a fox", 1.0)]),
        ("a (red) fox", [("a ", 1.0), ("red", 1.1), (" fox", 1.0)]),
        ("(red:1.3) fox", [("red", 1.3), (" fox", 1.0)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(a (red:2) fox:0.5)", [("a ", 0.5), ("red", 2.0), (" fox", 0.5)]),
        ("(a (red:2):0.5) fox", [("a ", 0.5), ("red", 2.0), (" fox", 1.0)]),
        (r"\(red\) (fox)", [("(red) ", 1.0), ("fox", 1.1)]),
        (r"(red \(dark\):1.2)", [("red (dark)", 1.2)]),
        ("(time 12:30 h)", [("time 12:30 h", 1.1)]),
        ("(red:inf)", [("red:inf", 1.1)]),
        ("(:1.3)", [(":1.3", 1.1)]),
        ("()", []),
        ("", []),
    ],
)
def test_weights_are_written_as_in_comfyui(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert weighted(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("red) (fox", [("red) (fox", 1.0)]),
        ("red) (fox) (bear)", [("red) (fox) (bear)", 1.0)]),
        ("red) (fox (bear))", [("red) (fox ", 1.0), ("bear", 1.1), (")", 1.0)]),
        ("(red fox", [("(red fox", 1.0)]),
        ("(red (fox) bear", [("(red (fox) bear", 1.0)]),
        ("(red (fox)", [("red ", 1.1), ("(fox", 1.1)]),
        ("(fox) (bear", [("fox", 1.1), (" ", 1.0), ("(bear", 1.0)]),
    ],
)
def test_parentheses_without_a_partner_are_read_as_comfyui_reads_them(
    prompt: str, expected: list[tuple[str, float]]
) -> None:
    assert weighted(prompt) == expected
    assert reads_differently(prompt)


@given(st.text(alphabet="()ab:1.\\ ", max_size=40))
def test_any_prompt_has_runs(prompt: str) -> None:
    letters = [char for char in prompt if char in "ab"]
    assert [char for text, _ in weighted(prompt) for char in text if char in "ab"] == letters


def test_nesting_without_end_is_refused() -> None:
    assert len(weighted("(" * DEEPEST + "a" + ")" * DEEPEST)) == 1
    with pytest.raises(TooDeep, match="Write a weight instead"):
        weighted("(" * 5000 + "a" + ")" * 5000)


def test_break_begins_a_new_part_and_keeps_the_weight() -> None:
    assert [[run.text.strip() for run in part] for part in parts("a fox BREAK a bear")] == [["a fox"], ["a bear"]]
    inside = parts("(a fox BREAK a bear:1.5)")
    assert [[(run.text.strip(), run.weight) for run in part] for part in inside] == [
        [("a fox", 1.5)],
        [("a bear", 1.5)],
    ]


def test_parts_without_text_are_left_out_and_words_with_break_in_them_are_words() -> None:
    assert len(parts("BREAK a fox BREAK  BREAK")) == 1
    assert parts("BREAK") == parts("") == [[]]
    assert len(parts("BREAKFAST")) == len(parts("a break")) == 1


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("embedding:blur", [Run("blur", 1.0, True)]),
        ("a embedding:blur, fox", [Run("a", 1.0), Run("blur", 1.0, True), Run(", fox", 1.0)]),
        ("a\nembedding:blur fox", [Run("a", 1.0), Run("blur", 1.0, True), Run("fox", 1.0)]),
        ("(embedding:blur:1.4) fox", [Run("blur", 1.4, True), Run(" fox", 1.0)]),
        ("embedding:a embedding:b", [Run("a", 1.0, True), Run("b", 1.0, True)]),
        # A name must begin a word: so in ComfyUI.
        ("a,embedding:blur", [Run("a,embedding:blur", 1.0)]),
        ("embedding:", [Run("embedding:", 1.0)]),
    ],
)
def test_an_embedding_is_named_by_a_word(prompt: str, expected: list[Run]) -> None:
    assert parts(prompt) == [expected]


def test_names_of_embeddings_are_found_in_all_prompts() -> None:
    assert embedding_names(["(embedding:b.pt:1.2)", "embedding:a BREAK embedding:b.pt"]) == ("a", "b.pt")


@pytest.mark.parametrize("prompt", ["a fox", "((a) fox:1.2)", r"\(a fox", "a break"])
def test_plain_prompts_are_read_as_they_always_were(prompt: str) -> None:
    assert not reads_differently(prompt)
