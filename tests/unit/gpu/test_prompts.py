from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.gpu.prompts import weighted


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a fox", [("a fox", 1.0)]),
        ("a (red) fox", [("a ", 1.0), ("red", 1.1), (" fox", 1.0)]),
        ("(red:1.3) fox", [("red", 1.3), (" fox", 1.0)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(a (red:2) fox:0.5)", [("a ", 0.5), ("red", 2.0), (" fox", 0.5)]),
        (r"\(red\) (fox)", [("(red) ", 1.0), ("fox", 1.1)]),
        ("red) (fox", [("red) (fox", 1.0)]),
        ("(time 12:30 h)", [("time 12:30 h", 1.1)]),
        ("(red:inf)", [("red:inf", 1.1)]),
        ("()", []),
        ("", []),
    ],
)
def test_weights_are_written_as_in_comfyui(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert weighted(prompt) == expected


@given(st.text(alphabet="()ab:1.\\ ", max_size=40))
def test_any_prompt_has_runs(prompt: str) -> None:
    letters = [char for char in prompt if char in "ab"]
    assert [char for text, _ in weighted(prompt) for char in text if char in "ab"] == letters


def test_deep_nesting_is_no_trouble() -> None:
    assert len(weighted("(" * 5000 + "a" + ")" * 5000)) == 1
