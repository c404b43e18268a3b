"""What the sweeper does for each job is done for each job."""

from __future__ import annotations

from farm.domain import keys
from farm.service.farm import Clock, Farm
from tests.unit.service.test_farm import World
from workers.sweeper import Sweeper


def test_a_job_whose_document_is_gone_does_not_keep_the_others_waiting() -> None:
    world = World()
    broken, whole = world.submit(), world.submit()
    assert broken < whole, "it comes first in every sweep"
    world.blobs.delete([keys.job_doc(broken)])
    # As if the process that had opened the chunks had died before it let in what comes after them.
    farm = Farm(world.blobs, world.ledger, world.queue, Clock(str, str), engine="fake-1")
    while (lease := world.ledger.claim("w", ["cpu", "gpu.0"], None, 15)) is not None:
        world.ledger.finish(lease, "out", frames=1)
    assert world.farm.status(whole).chunks_done == world.farm.status(whole).chunks_opened
    opened = world.farm.status(whole).chunks_opened
    Sweeper("w", farm, every_s=1, offer_after_s=10).sweep()
    assert world.farm.status(whole).chunks_opened > opened
