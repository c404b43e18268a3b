"""A whole job at a glance."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.chunk_map import encode, number_runs
from farm.domain.state import Outcome
from farm.ports import NewTask
from tests.unit.api.conftest import World

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def job(client: TestClient, request_of: Make, uploaded: Callable[..., str]) -> str:
    """40 frames in ten chunks, with two segments."""
    mask = uploaded((255,))
    segments = [{"name": name, "mask": mask} for name in ("face", "hand")]
    return str(client.post("/api/v1/jobs", json=request_of(segments=segments, chunk=4)).json()["id"])


def seen(client: TestClient, job: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/jobs/{job}/chunks").json()
    return found


def details(chunk: int, **outputs: str) -> list[NewTask]:
    """A detail task per source; those with an output are known to be done."""
    return [
        NewTask(f"detail.{chunk}.{n}", "detail", "gpu.0", chunk, f"detail:{name}", output=outputs.get(name, ""))
        for n, name in enumerate(("face", "hand"))
    ]


def test_a_new_job_has_its_window_open_and_the_rest_before_it(client: TestClient, job: str) -> None:
    found = seen(client, job)
    assert (found["start"], found["frames"], found["chunk"], found["chunks"]) == (0, 40, 4, 10)
    assert found["numbers"] == [[0, 1, 1]]
    assert found["states"] == "4w6q"
    assert found["segments"] == {"face": "4-6q", "hand": "4-6q"}


def test_a_cell_is_the_state_of_a_segments_tasks_in_a_chunk(client: TestClient, job: str, world: World) -> None:
    world.ledger.extend(job, [*details(0, face="done"), *details(1)], 4)
    found = seen(client, job)
    assert found["states"] == "2r2w6q"
    assert found["segments"] == {"face": "1d1r2-6q", "hand": "2r2-6q"}


def test_what_must_be_known_first_is_told_of_a_cell(client: TestClient, job: str, world: World) -> None:
    world.ledger.extend(job, details(0), 4)
    offered = world.ledger.claim("w", ("gpu.0",), None, 60)
    assert offered is not None
    assert seen(client, job)["segments"]["face"][:2] == "1a"
    world.ledger.fail(offered, Outcome.ERROR, "it broke", 60.0)
    assert (seen(client, job)["segments"]["face"][:2], seen(client, job)["states"][:2]) == ("1s", "1s")
    other = world.ledger.claim("w", ("gpu.0",), None, 60)
    assert other is not None
    world.ledger.fail(other, Outcome.ERROR, "it broke for good", None)
    assert (seen(client, job)["segments"]["hand"][:2], seen(client, job)["states"][:2]) == ("1f", "1f")


def test_chunks_that_ended_well_are_done_in_every_row(
    client: TestClient, job: str, world: World, request_of: Make
) -> None:
    facts = world.ledger.status(job).facts
    world.ledger.forget(job)
    world.ledger.create(facts, [(chunk, 4) for chunk in range(7)])
    assert seen(client, job)["states"] == "7d3q"
    assert seen(client, job)["segments"] == {"face": "7d3q", "hand": "7d3q"}


def test_twenty_thousand_frames_take_some_hundred_bytes(client: TestClient, world: World, request_of: Make) -> None:
    found = client.post("/api/v1/jobs", json=request_of()).json()["id"]
    name = f"jobs/{found}/job.json"
    document = json.loads(world.blobs.get(name)) | {"end": 20_000, "chunk": 16}
    document["input"]["frames"] = 20_000
    document["id"] = "long"
    world.blobs.put("jobs/long/job.json", json.dumps(document).encode())
    facts = world.ledger.status(found).facts
    world.ledger.create(replace(facts, id="long", frames=20_000, chunks=1250))
    answer = client.get("/api/v1/jobs/long/chunks")
    assert answer.json()["states"] == "1250q"
    assert len(answer.content) < 500


def test_nothing_new_costs_no_answer(client: TestClient, job: str) -> None:
    first = client.get(f"/api/v1/jobs/{job}/chunks")
    again = client.get(f"/api/v1/jobs/{job}/chunks", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_job_that_is_not_there_is_told(client: TestClient) -> None:
    assert client.get("/api/v1/jobs/none/chunks").status_code == 404


@given(st.text("qwrasdfec-", max_size=60))
def test_run_lengths_tell_all_states_in_order(letters: str) -> None:
    runs = encode(letters)
    assert "".join(letter * int(count) for count, letter in re.findall(r"(\d+)([a-z-])", runs)) == letters


@given(st.sets(st.integers(0, 300), max_size=60))
def test_runs_of_numbers_tell_every_number(chosen: set[int]) -> None:
    numbers = sorted(chosen)
    runs = [*number_runs(numbers), (len(numbers), 0, 0)]
    told = [
        first + (index - begin) * step
        for (begin, first, step), (end, _, _) in pairwise(runs)
        for index in range(begin, end)
    ]
    assert told == numbers


def test_a_clip_on_twos_is_one_run_of_numbers() -> None:
    assert list(number_runs(range(101, 20_101, 2))) == [(0, 101, 2)]
