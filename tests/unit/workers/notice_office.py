"""A farm in memory whose notices are sent for real, its clock in the test's hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from farm.domain.notices import Delivery
from farm.service.notices import waiting
from farm.settings import Settings
from tests.unit.service.test_farm import World
from workers.notifier import Notifier


@dataclass
class Turned:
    """A clock in the test's hand."""

    now: float = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


class Office:
    """A farm in memory with a notifier."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - values of any field
        self.world, self.clock = World(), Turned()
        self.settings = Settings.read(
            public_url="https://farm.example", **{"webhook_networks": "127.0.0.0/8"} | settings
        )
        self.notifier = self.new("w1")

    def new(self, worker: str) -> Notifier:
        """A notifier of another process."""
        return Notifier(worker, self.world.farm, self.settings, 1.0, self.clock)

    def turn(self, after_s: float = 0.0) -> None:
        """One turn, so many seconds later."""
        self.clock.now += after_s
        self.notifier.turn()

    def done(self, **request: Any) -> str:  # noqa: ANN401 - values of any field
        """A job that has completed."""
        job = self.world.submit(**request)
        self.world.run()
        return job

    def waiting(self) -> list[Delivery]:
        """Notices on their way."""
        return list(waiting(self.world.blobs))
