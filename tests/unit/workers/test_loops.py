"""What must never end does not."""

from __future__ import annotations

import threading

import pytest

from farm.errors import Unavailable
from workers.loops import Loop


@pytest.mark.parametrize("error", [Unavailable("Redis is away"), AttributeError("a library's own"), OSError("disk")])
def test_an_error_ends_a_turn_and_never_the_loop(error: Exception) -> None:
    turns, fourth = [], threading.Event()

    def turn() -> None:
        turns.append(error)
        if len(turns) == 4:
            fourth.set()
        raise error

    loop = Loop("sweeper", turn, 0.001)
    loop.start()
    assert fourth.wait(timeout=60)
    loop.stop(wait_s=60)
    after = len(turns)
    assert not [thread for thread in threading.enumerate() if thread.name == "sweeper"]
    assert len(turns) == after


def test_a_first_turn_may_come_at_once() -> None:
    done = threading.Event()
    loop = Loop("alive", done.set, 3600, at_once=True)
    loop.start()
    assert done.wait(timeout=60)
    loop.stop()


def test_a_loop_that_was_never_started_can_be_stopped() -> None:
    Loop("sweeper", lambda: None, 1).stop(wait_s=60)
