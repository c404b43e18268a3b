"""A job that waits until somebody has looked at its first chunks, on a real farm, and who hears of it."""

from __future__ import annotations

import hashlib
import hmac
import json

import httpx
import pytest
import redis

from farm.domain.detailer import JobType
from farm.domain.state import JobState
from farm.service.approval import first_chunks
from farm.service.skeleton import chunk_of
from tests.e2e.conftest import Expected
from tests.e2e.farm_under_test import PATIENCE_S, FarmUnderTest, until
from tests.e2e.reference import differing
from tests.e2e.shots import Shot, hand_in, request
from tests.unit.workers.receivers import Hook, Post, hook_server, mail_server

SECRET = "a secret of the pipeline"


def waits(farm: FarmUnderTest, job: str) -> None:
    """Return when the job awaits approval."""
    until("somebody is asked", lambda: farm.farm.status(job).state is JobState.AWAITING_APPROVAL)


def to_look_at(farm: FarmUnderTest, job: str, frames: dict[str, bytes]) -> dict[str, bytes]:
    """Of all frames by name, those of the first chunks."""
    document, names = farm.farm.document(job), sorted(frames)
    spans = [chunk_of(document, chunk) for chunk in first_chunks(document)]
    return {names[n]: frames[names[n]] for span in spans for n in range(span.core_start, span.core_end)}


@pytest.mark.slow
def test_first_chunks_are_final_and_a_lost_redis_forgets_neither_them_nor_the_question(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    farm.workers(1)
    # Chunks that fade into their neighbors.
    job = farm.submit(request(hand_in(shot, farm), JobType.ANIMATEDIFF).model_copy(update={"approve_every": 4}))
    waits(farm, job)
    wanted = to_look_at(farm, job, expected(JobType.ANIMATEDIFF))
    assert differing(wanted, farm.frames(job)) == []
    with redis.Redis.from_url(farm.redis.url) as client:
        client.flushall()
    assert farm.farm.recover(job).state is JobState.AWAITING_APPROVAL
    farm.farm.act(job, "approve")
    farm.wait(job)
    assert differing(expected(JobType.ANIMATEDIFF), farm.frames(job)) == []
    assert set(to_look_at(farm, job, farm.frames(job))) == set(wanted)


def told(hook: Hook) -> list[str]:
    """What a webhook has heard of, each thing once."""
    return list(dict.fromkeys(one.json["kind"] for one in hook.received))


def heard(url: str, since: str, until_kind: str) -> list[tuple[str, str]]:
    """Id and kind of the job's events behind one, until one of a kind comes."""
    found: list[tuple[str, str]] = []
    address = f"{url}/api/v1/events?since={since}&kinds=job,approval"
    with httpx.stream("GET", address, timeout=PATIENCE_S) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                body = json.loads(line.removeprefix("data: "))
                found.append((body["id"], body["kind"]))
                if body["kind"] == until_kind:
                    return found
    return found


@pytest.mark.slow
def test_hooks_mails_and_streams_hear_of_it_over_a_kill_of_the_api(
    farm: FarmUnderTest, shot: Shot, expected: Expected
) -> None:
    with hook_server() as hook, mail_server() as post:
        farm.values |= {"webhook_networks": "127.0.0.0/8", "smtp_url": post.url, "mail_from": "farm@example.org"}
        client = farm.api()
        handed = hand_in(shot, farm)
        farm.workers(1)
        kinds = ["job.completed", "approval.wanted"]
        asked = {"approve_every": 3, "notify": ["ann@example.org"]}
        asked["webhook"] = {"url": hook.url, "secret": SECRET, "kinds": kinds}
        wanted = request(handed, JobType.MASK).model_dump(mode="json", exclude_unset=True) | asked
        job = client.http.post("/jobs", wanted)["id"]
        first = heard(farm.api_url, "0", "approval.wanted")
        until("the hook has heard", lambda: "approval.wanted" in told(hook))
        next(one for one in farm.processes if one.name == "api").kill()
        farm.farm.act(job, "approve", actor="ann")
        farm.wait(job)
        client = farm.api()
        rest = heard(farm.api_url, first[-1][0], "job.completed")
        assert [kind for _, kind in first + rest] == [
            *("job.submitted", "job.started", "approval.wanted", "approval.given", "job.completed")
        ]
        until("the hook has heard of the end", lambda: told(hook) == ["approval.wanted", "job.completed"])
        until("mails have come", lambda: len(post.mails) == 2)
        until("all is noted", lambda: client.http.get(f"/jobs/{job}/notices")["sent"] == 4)
        assert differing(expected(JobType.MASK), farm.frames(job)) == []
    check(hook, post, dict(rest)[rest[-1][0]])


def check(hook: Hook, post: Post, kind: str) -> None:
    """What came is signed, and shows a picture."""
    one = hook.received[-1]
    parts = dict(part.split("=") for part in one.headers["Farm-Signature"].split(","))
    signed = f"{parts['t']}.".encode() + one.body
    assert hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest() == parts["v1"]
    assert one.json["kind"] == kind
    assert [[part.get_content_type() for part in mail.walk()].count("image/jpeg") for mail in post.mails] == [1, 1]
