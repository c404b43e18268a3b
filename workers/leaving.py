"""How a worker ends: told so by its machine (SIGTERM), or asked by a person, who may think better of it meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

from farm.ports import Drain
from workers.runner import Runner

log = structlog.get_logger()

LAST_STEP_S = 10.0
"""Seconds, after its grace is over, in which a worker may come to the end of a sampler step."""
IDLE_S = 5.0
"""Seconds without a task after which a worker that was told to end does so, whatever its broker is waiting for."""
LOOK_S = 0.2
"""Seconds between two looks at what is still held."""


def end_gently() -> None:
    """Tell this process to end, as its machine would."""
    os.kill(os.getpid(), signal.SIGTERM)


class Leaving:
    """Sees to it that a worker ends within its grace, its tasks finished or handed back.

    Who was asked by a person goes on with what it holds, claims nothing more, and ends itself when nothing is left; up
    to then the wish may be taken back. Who was told by its machine ends in any case.
    """

    def __init__(
        self,
        runner: Runner,
        grace_s: float,
        end_now: Callable[[], None],
        end: Callable[[], None] = end_gently,
    ) -> None:
        """
        Args:
            grace_s: seconds that it may take, unless the person says another number.
            end_now: ends the process without a look back.
            end: has the process told to end, which leads to `told`.
        """
        self._runner = runner
        self._grace_s = grace_s
        self._end_now = end_now
        self._end = end
        self._told = threading.Event()
        self._over = threading.Event()
        self._wish: Drain | None = None
        self._taken_back = threading.Event()
        self.drained = False
        """Whether it ends since a person wished so."""

    def told(self) -> None:
        """The process was told to end, and does."""
        if self._told.is_set():
            return
        self._told.set()
        self._runner.draining.set()
        threading.Thread(target=self._see_out, name="see-out", daemon=True).start()

    def heed(self, wish: Drain | None) -> None:
        """Hear what a person wishes: to be called again and again, from one thread."""
        before, self._wish = self._wish, wish
        if self._told.is_set() or (wish is None) == (before is None):
            return
        if wish is None:
            log.info("drain_taken_back")
            self._taken_back.set()
            self._runner.draining.clear()
            self._runner.grace_over.clear()
        else:
            log.info("drain_asked", actor=wish.actor, reason=wish.reason)
            self._taken_back = threading.Event()
            self._runner.draining.set()
            threading.Thread(target=self._see_off, args=(self._taken_back,), name="see-off", daemon=True).start()
        # What is ready: for others, who were not told of it when this one was; or for this one, who was not either.
        self._runner.look()

    def over(self) -> None:
        """The process has come to its end by itself."""
        self._over.set()

    def _see_off(self, taken_back: threading.Event) -> None:
        """A person asked: end when nothing is held any more."""
        begun = time.monotonic()
        while not taken_back.wait(LOOK_S):
            wish = self._wish
            given = self._grace_s if wish is None or wish.grace_s is None else wish.grace_s
            self._hasten(begun + given)
            if not self._runner.heartbeat.held():
                self.drained = True
                self._end()
                return

    def _see_out(self) -> None:
        """The machine told: end, whatever hangs."""
        begun = idle_since = time.monotonic()
        while not self._over.wait(LOOK_S):
            now = time.monotonic()
            idle_since = now if self._runner.heartbeat.held() else idle_since
            late = self._hasten(begun + self._grace_s)
            # The broker's client may wait for a Redis that is gone, for ever.
            if late or now - idle_since > IDLE_S:
                self._end_now()

    def _hasten(self, end: float) -> bool:
        """Let tasks leave at their next step once the grace is over, and hand them back a while later; whether they
        were."""
        now = time.monotonic()
        if now > end:
            self._runner.grace_over.set()
        if now > end + LAST_STEP_S:
            self._runner.hand_back()
            return True
        return False
