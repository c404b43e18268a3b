"""Webhooks and mails: signed, tried again, given up, never lost, and never to an address inside."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import pytest

from farm.adapters.memory_blobs import MemoryBlobs
from farm.adapters.memory_ledger import MemoryLedger
from farm.domain import keys
from farm.domain.notices import TRIES
from farm.service.notices import noted
from tests.unit.workers.notice_office import Office
from tests.unit.workers.receivers import Hook, hook_server
from workers import notifier

SECRET = "a secret of the pipeline"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server() as found:
        yield found


def webhook(hook: Hook, **more: object) -> dict[str, object]:
    """What a request asks for."""
    return {"url": hook.url, **more}


def test_a_job_tells_its_webhook_when_it_has_ended(hook: Hook) -> None:
    office = Office()
    job = office.done(webhook=webhook(hook))
    office.turn()
    (one,) = hook.received
    event = office.world.ledger.events().events[-2]
    assert (one.path, one.headers["Farm-Event"]) == ("/hook?key=1", "job.completed")
    assert one.json["id"] == event.id
    assert one.json["kind"] == "job.completed"
    assert one.json["job"] == job
    assert one.json["page"] == f"https://farm.example/jobs/{job}"
    assert one.json["data"] == dict(event.data)
    assert "Farm-Signature" not in one.headers
    assert office.waiting() == []
    office.turn(1000)
    assert len(hook.received) == 1


def test_the_signature_is_over_time_and_body(hook: Hook) -> None:
    office = Office()
    office.done(webhook=webhook(hook, secret=SECRET))
    office.turn()
    (one,) = hook.received
    parts = dict(part.split("=") for part in one.headers["Farm-Signature"].split(","))
    signed = f"{parts['t']}.".encode() + one.body
    assert hmac.compare_digest(parts["v1"], hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest())
    assert int(parts["t"]) == int(office.clock.now)


def test_nobody_is_shown_the_secret_or_the_whole_address(hook: Hook) -> None:
    office = Office()
    job = office.done(webhook=webhook(hook, secret=SECRET))
    office.turn()
    told = [office.world.farm.document(job).model_dump_json(), noted(job, office.world.blobs).model_dump_json()]
    blobs = office.world.blobs
    # All below the job's folder may be downloaded.
    inside = [name for name in blobs.list(f"jobs/{job}/") if SECRET.encode() in blobs.get(name)]
    assert not any(SECRET in text or "key=1" in text for text in told)
    assert inside == []
    asked = office.world.farm.document(job).webhook
    assert asked is not None
    assert asked.signed


def test_only_what_was_asked_for_is_told(hook: Hook) -> None:
    office = Office()
    office.done(webhook=webhook(hook, kinds=["job.started", "chunk"]))
    office.turn()
    kinds = {one.json["kind"] for one in hook.received}
    assert kinds == {"job.started", "chunk.done"}
    assert len(hook.received) == 1 + 9


def test_what_was_not_received_is_sent_again_ever_more_rarely_under_the_same_id(hook: Hook) -> None:
    office = Office()
    hook.answers = [500, 503]
    job = office.done(webhook=webhook(hook))
    office.turn()
    (one,) = office.waiting()
    assert "answered 500" in one.attempts[0].error
    office.turn(4)
    assert len(hook.received) == 1
    office.turn(1)
    office.turn(9)
    assert len(hook.received) == 2
    office.turn(1)
    assert [received.json["id"] for received in hook.received] == [hook.received[0].json["id"]] * 3
    assert len({received.headers["Farm-Delivery"] for received in hook.received}) == 1
    known = noted(job, office.world.blobs)
    assert (known.sent, known.dead, len(known.latest_sent[0].attempts)) == (1, 0, 3)


def test_what_is_never_received_is_given_up_and_remembered(hook: Hook) -> None:
    office = Office()
    hook.answers = [500] * 100
    job = office.done(webhook=webhook(hook))
    for _ in range(TRIES + 2):
        office.turn(24 * 3600)
    assert len(hook.received) == TRIES
    assert office.waiting() == []
    known = noted(job, office.world.blobs)
    assert (known.sent, known.dead) == (0, 1)
    told = office.world.ledger.events().events[-1]
    assert (told.kind, told.job) == ("notice.failed", job)
    assert "answered 500" in str(told.data["error"])


def test_a_receiver_that_wants_no_more_gets_no_more(hook: Hook) -> None:
    office = Office()
    hook.answers = [410]
    job = office.done(webhook=webhook(hook))
    office.turn()
    office.turn(100_000)
    assert len(hook.received) == 1
    assert noted(job, office.world.blobs).dead == 1


def test_a_sender_that_dies_loses_nothing(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    jobs = {office.done(webhook=webhook(hook)) for _ in range(3)}

    class Died(BaseException):
        """What nothing catches."""

    def die(*_: object) -> None:
        raise Died

    # In the worst moments: notices are written and the bookmark is not; then one is sent and nobody has noted it.
    for place, moment in ((MemoryLedger, "keep_bookmark"), (MemoryBlobs, "delete")):
        with monkeypatch.context() as patched:
            patched.setattr(place, moment, die)
            patched.setattr(notifier, "BATCH", 1)
            with pytest.raises(Died):
                office.turn()
        # Another process; the first one's time is over.
        office.notifier = office.new(f"after {moment}")
        office.world.ledger._kept.clear()
    office.turn()
    assert {one.json["job"] for one in hook.received} == jobs
    ids = [one.json["id"] for one in hook.received]
    assert len(ids) == 4
    assert len(set(ids)) == 3, "what is sent again has the same id"


def test_one_process_is_elected(hook: Hook) -> None:
    office = Office()
    office.done(webhook=webhook(hook))
    others = [office.new(f"w{number}") for number in range(3)]
    for one in (office.notifier, *others):
        one.turn()
    assert len(hook.received) == 1


def test_what_is_unforeseen_keeps_no_other_notice_waiting(hook: Hook) -> None:
    office = Office()
    one, other = (office.done(webhook=webhook(hook)) for _ in range(2))
    office.world.blobs.put(keys.webhook_target(one), b"[]")
    office.turn()
    assert [received.json["job"] for received in hook.received] == [other]
    assert [waits.job for waits in office.waiting()] == [one]


def test_a_recovered_job_tells_nobody_a_second_time(hook: Hook) -> None:
    office = Office()
    job = office.done(webhook=webhook(hook))
    office.turn()
    for chunk in range(9):
        office.world.blobs.put(f"jobs/{job}/chunks/{chunk:06}.json", b'{"core_frames": 16}')
    office.world.blobs.put(keys.manifest(job), b"{}")
    office.world.farm.ledger = office.world.ledger = MemoryLedger()
    office.world.farm.recover(job)
    office.notifier = office.new("w2")
    office.turn()
    assert "job.completed" in [event.kind for event in office.world.ledger.events().events]
    assert len(hook.received) == 1


def test_the_farms_own_webhook_hears_of_all_jobs_and_of_workers(hook: Hook) -> None:
    office = Office(webhook_url=hook.url, webhook_secret=SECRET, webhook_kinds="job.completed,worker")
    jobs = {office.done() for _ in range(2)}
    office.world.ledger.announce("worker.joined", "", {"worker": "w"})
    office.turn()
    assert {one.json["job"] for one in hook.received} == {*jobs, ""}
    assert all("Farm-Signature" in one.headers for one in hook.received)
    assert noted("", office.world.blobs).sent == 1


def test_no_notice_is_sent_of_notices(hook: Hook) -> None:
    office = Office(webhook_url=hook.url, webhook_kinds="job.completed,notice")
    office.done()
    for _ in range(3):
        office.turn(10)
    assert len(hook.received) == 1


@pytest.mark.parametrize("allowed", ["", "10.0.0.0/8"])
def test_an_address_inside_is_refused_when_the_connection_is_made(hook: Hook, allowed: str) -> None:
    office = Office(webhook_networks=allowed)
    job = office.done(webhook=webhook(hook))
    office.turn()
    assert hook.received == []
    (dead,) = noted(job, office.world.blobs).latest_dead
    assert "no public address" in dead.attempts[0].error


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    office = Office()
    hook.answers, hook.location = [307], hook.url
    office.done(webhook=webhook(hook))
    office.turn()
    assert len(hook.received) == 1
    assert "redirects are not followed" in office.waiting()[0].attempts[0].error
