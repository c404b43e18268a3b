"""All jobs back from the store alone."""

from __future__ import annotations

from farm.adapters.memory_ledger import MemoryLedger
from farm.domain import keys
from farm.domain.state import JobState
from farm.service.documents import compact
from farm.service.rebuild import recover_all, stored_jobs
from tests.unit.service.test_farm import World


def _lose_redis(world: World) -> None:
    world.ledger = world.farm.ledger = MemoryLedger()


def test_every_job_is_back_as_it_was_and_one_that_cannot_be_read_keeps_no_other_back() -> None:
    world = World()
    done, canceled, paused = (world.submit() for _ in range(3))
    world.farm.act(canceled, "cancel")
    world.farm.act(paused, "pause")
    world.run()
    world.blobs.put(keys.manifest(done), compact({"missing_chunks": []}))
    world.blobs.put(keys.job_doc("damaged"), b"{")
    world.blobs.put(keys.job("gone", "frames/0001.png"), b"what is left of a job that was removed")
    _lose_redis(world)
    found = recover_all(world.farm)
    assert found.jobs == found.recovered == tuple(sorted([done, canceled, paused]))
    assert [text.split(":")[0] for text in found.failed] == ["damaged"]
    states = {job: world.farm.status(job).state for job in found.jobs}
    assert states == {done: JobState.COMPLETED, canceled: JobState.CANCELED, paused: JobState.PAUSED}
    assert world.farm.status(done).frames_done == 132
    again = recover_all(world.farm)
    assert (again.jobs, again.recovered) == (found.jobs, ())


def test_a_job_whose_last_step_missed_chunks_does_it_again() -> None:
    world = World()
    job = world.submit()
    world.run()
    world.blobs.put(keys.manifest(job), compact({"missing_chunks": [3]}))
    _lose_redis(world)
    recover_all(world.farm)
    assert world.farm.status(job).state is not JobState.COMPLETED
    world.ran.clear()
    world.farm.advance(job)  # as the sweeper does
    world.run()
    assert world.ran == ["wrap.0"]
    assert world.farm.status(job).state is JobState.COMPLETED


def test_the_jobs_of_a_store_are_found_without_reading_through_their_folders() -> None:
    world = World()
    jobs = [world.submit() for _ in range(3)]
    seen = []

    class Counting:
        def list(self, prefix: str, after: str = "") -> object:
            for name in world.blobs.list(prefix, after):
                seen.append(name)
                yield name

        exists = staticmethod(world.blobs.exists)

    for number in range(50):
        world.blobs.put(keys.job(jobs[0], f"frames/{number:04}.png"), b"x")
    assert list(stored_jobs(Counting())) == jobs  # type: ignore[arg-type]  # the two questions that it asks
    assert len(seen) == len(jobs)
