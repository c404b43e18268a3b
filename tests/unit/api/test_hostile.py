"""A server of the API on loopback, over memory, and the lists of what may be sent to do harm."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from api import connection, wire
from api.connection import Connection
from tests.e2e import hostile_questions, hostile_requests, hostile_strangers, hostile_uploads
from tests.e2e.hostile_attack import Attack, Visitor
from tests.e2e.hostile_pictures import PLAIN
from tests.unit.api.conftest import KEY, World

HEAVY = re.compile(r"MB|larger than it says|bomb|bzip2|gigabyte|members|entries|million|grows|zeros|1,000 fields|9,000")
"""Attacks by their size: `python -m tests.shows.hostile_uploads` makes those, too."""


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    """Somebody who has a key of a farm."""
    world = World(api_keys=f"tester:{KEY}")
    world.add_model("tiny")
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(world.app, http=Connection, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield Visitor("127.0.0.1", listening.getsockname()[1], KEY)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def wrong(visitor: Visitor, attacks: Iterator[Attack]) -> list[str]:
    """Attacks that got what they should not."""
    found = []
    for attack in attacks:
        if not HEAVY.search(attack.name):
            got = attack.make(visitor)
            if got.status not in attack.allowed or attack.fault(got):
                found.append(f"{attack.name}: {got.status} {attack.fault(got)} {got.reason[:100]}")
    return found


@pytest.mark.filterwarnings("ignore:Tag data larger than file")  # the library's word on one of them
def test_pictures_and_archives_that_pretend(visitor: Visitor) -> None:
    # Those that are taken for videos cost a process each; the show has them.
    quick = (one for one in hostile_uploads.pictures() if not re.search(r"eps|document|format", one.name))
    assert wrong(visitor, quick) == []
    assert wrong(visitor, (one for one in hostile_uploads.archives() if "tar" not in one.name)) == []


def test_transfers_that_are_not_as_they_say(visitor: Visitor) -> None:
    assert wrong(visitor, hostile_uploads.transfers()) == []


def test_addresses_that_climb_out(visitor: Visitor) -> None:
    assert wrong(visitor, (one for one in hostile_requests.addresses("job-0001") if "ranges" not in one.name)) == []


def test_jobs_that_lead_to_files_and_machines(visitor: Visitor) -> None:
    picture = visitor.upload("0001.png", PLAIN)
    uri = str(picture.document()["uri"])
    assert wrong(visitor, hostile_requests.jobs(uri, uri)) == []


def test_questions_that_lead_to_files_and_machines(visitor: Visitor) -> None:
    picture = visitor.upload("0001.png", PLAIN)
    quick = (one for one in hostile_questions.questions(str(picture.document()["uri"])) if "s3:" not in one.name)
    assert wrong(visitor, quick) == []


def test_parts_users_and_streams_that_are_none(visitor: Visitor) -> None:
    assert wrong(visitor, hostile_questions.parts()) == []
    assert wrong(visitor, hostile_questions.people()) == []


def test_models_that_are_none(visitor: Visitor) -> None:
    assert wrong(visitor, hostile_requests.models()) == []


def test_keys_sessions_and_pages_of_others(visitor: Visitor) -> None:
    assert wrong(visitor, hostile_strangers.strangers(KEY)) == []


def test_requests_that_do_not_end(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    monkeypatch.setattr(wire, "IDLE_S", 0.3)
    monkeypatch.setattr(wire, "FREE_S", 0.3)
    monkeypatch.setattr(wire, "LEAST_RATE", 1 << 40)
    assert wrong(visitor, hostile_strangers.wire(f"{visitor.host}:{visitor.port}")) == []
