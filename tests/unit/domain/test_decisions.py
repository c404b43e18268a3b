"""What records of decisions amount to."""

from __future__ import annotations

from typing import Any

from farm.domain.decisions import standing


def eat(*tasks: str, frames: tuple[tuple[int, int], ...] = ()) -> dict[str, Any]:
    """A record, as JSON gives it back."""
    return {"action": "eat", "tasks": list(tasks), "frames": [list(frame) for frame in frames]}


def test_the_last_word_about_a_jobs_state_counts() -> None:
    def state(*actions: str) -> str:
        return standing({"action": action} for action in actions).state

    assert state() == ""
    assert state("pause", "resume", "pause") == "pause"
    assert state("pause", "cancel") == "cancel"
    assert state("cancel", "retry") == ""


def test_other_decisions_leave_it_as_it_is() -> None:
    records = [{"action": "pause"}, eat("detail.0.0"), {"action": "adjust", "priority": 7, "max_workers": None}]
    assert standing(records).state == "pause"


def test_what_was_eaten_adds_up() -> None:
    found = standing([eat("detail.3.0"), eat("plan.5", frames=((1, 14),))])
    assert found.tasks == {"detail.3.0", "plan.5"}
    assert found.chunks == (1, 3, 5)
    assert found.positions(1) == {14}
    assert found.given_up(1, range(8, 16)) == {14}
    assert found.given_up(5, range(40, 43)) == {40, 41, 42}
    assert found.given_up(3, range(24, 32)) == frozenset()


def test_a_retry_takes_back_what_was_eaten_in_the_chunks_that_it_opens() -> None:
    found = standing(
        [eat("detail.3.0", frames=((1, 14), (2, 20))), {"action": "retry", "reopened": [1, 3]}, eat("plan.3")]
    )
    assert found.tasks == {"plan.3"}
    assert found.frames == {(2, 20)}
    assert standing([eat("detail.3.0"), {"action": "retry"}]).tasks == {"detail.3.0"}, "an old record names none"


def test_each_value_that_was_adjusted_keeps_its_last() -> None:
    found = standing(
        [
            {"action": "adjust", "priority": 80, "max_workers": None},
            {"action": "adjust", "priority": None, "max_workers": 2},
            {"action": "adjust", "priority": 10, "max_workers": None},
        ]
    )
    assert (found.priority, found.max_workers) == (10, 2)
