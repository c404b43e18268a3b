"""What a worker does beside its tasks, again and again, in threads that nothing but `stop` ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from farm.errors import FarmError

log = structlog.get_logger()


class Loop:
    """A thread that does something every so often.

    An error ends the turn, never the thread: a worker whose leases nobody renews, or that does not sweep any more,
    would be worse than a dead one, and nobody would hear of it.
    """

    def __init__(self, name: str, turn: Callable[[], None], every_s: float, *, at_once: bool = False) -> None:
        """
        Args:
            turn: what is done.
            every_s: seconds between two turns.
            at_once: the first turn is not waited for.
        """
        self._name = name
        self._turn = turn
        self._every_s = every_s
        self._at_once = at_once
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, wait_s: float = 0.0) -> None:
        """End it after the turn that is under way; wait for that so many seconds at the most."""
        self._stop.set()
        if wait_s and self._thread.is_alive():
            self._thread.join(timeout=wait_s)

    def _run(self) -> None:
        if self._at_once:
            self._once()
        while not self._stop.wait(self._every_s):
            self._once()

    def _once(self) -> None:
        try:
            self._turn()
        except FarmError as error:
            log.warning("turn_failed", loop=self._name, error=str(error))
        except Exception as error:  # the next turn may be better, and must come; see above
            log.error("turn_failed", loop=self._name, error=repr(error), exc_info=True)
