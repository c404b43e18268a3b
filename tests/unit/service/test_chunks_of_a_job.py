"""A length of chunks that the farm has chosen belongs to the job from then on."""

from __future__ import annotations

from farm.adapters.memory_ledger import MemoryLedger
from farm.domain.chunk_length import SPEED
from farm.ports import WorkerStatus
from farm.service.farm import Farm
from tests.unit.service.test_farm import World


def _tell(farm: Farm, pixel_steps_per_s: float) -> None:
    """A worker's sign of life."""
    info = {SPEED: pixel_steps_per_s}
    farm.ledger.beat(WorkerStatus("w", "host", 1, ("cpu", "gpu.0"), "cpu", 0.0, info=info), 600)


def test_the_farm_chooses_once_and_workers_that_come_later_change_nothing() -> None:
    world = World()
    _tell(world.farm, 20 * 2 * 1024**2 / 6)
    job = world.submit(chunk="auto")
    assert world.farm.document(job).chunk == 30
    assert "`chunk` auto: 30 frames" in world.farm.document(job).warnings[0]
    _tell(world.farm, 1e12)
    world.farm.ledger = MemoryLedger()
    assert world.farm.recover(job).facts.chunks == 5
    assert world.farm.document(job).chunk == 30


def test_where_no_worker_has_sampled_yet_the_default_is_taken() -> None:
    world = World()
    assert world.farm.document(world.submit(chunk="auto")).chunk == 16
    assert world.farm.document(world.submit("animatediff", chunk="auto")).chunk == 48
