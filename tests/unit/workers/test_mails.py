"""Mails: what is in them, who gets them, and what a server may say to them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from farm.adapters.pictures import encode_png
from farm.domain import keys
from farm.service.documents import compact
from farm.service.notices import noted
from tests.unit.workers.notice_office import Office
from tests.unit.workers.receivers import Post, mail_server


@pytest.fixture
def post() -> Iterator[Post]:
    with mail_server() as found:
        yield found


def mailing(post: Post) -> Office:
    """A farm that sends mails."""
    return Office(smtp_url=post.url, mail_from="farm@example.org")


def test_a_mail_tells_that_a_job_has_ended_with_link_and_picture(post: Post) -> None:
    office = mailing(post)
    job = office.world.submit(notify=["ann@example.org", "bob@example.org"], name="shot 010")
    office.world.run()
    picture = [{"object": "final.png", "variation": 0}]
    office.world.blobs.put(keys.chunk(job, 0), compact({"core_frames": 16, "frames": picture}))
    office.world.blobs.put("final.png", encode_png(np.zeros((720, 1280, 3), np.uint8)))
    office.turn()
    assert {mail["To"] for mail in post.mails} == {"ann@example.org", "bob@example.org"}
    mail = post.mails[0]
    assert mail["From"] == "farm@example.org"
    assert mail["Subject"] == "shot 010 has completed"
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert f"https://farm.example/jobs/{job}" in plain.get_content()
    assert [part.get_content_type() for part in mail.walk() if part.get_filename()] == ["image/jpeg"]
    assert noted(job, office.world.blobs).sent == 2


@pytest.mark.parametrize(("user", "count"), [("ann@example.org", 1), ("ann", 0)])
def test_a_submitter_whose_name_is_an_address_is_told(post: Post, user: str, count: int) -> None:
    office = mailing(post)
    office.world.farm.submit(office.world.request(), user)
    office.world.run()
    office.turn()
    assert [mail["To"] for mail in post.mails] == [user] * count


def test_a_mail_asks_for_approval(post: Post) -> None:
    office = mailing(post)
    job = office.done(notify=["ann@example.org"], approve_every=3)
    office.turn()
    (mail,) = post.mails
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert "waits for your approval" in mail["Subject"]
    assert f"farm job approve {job}" in plain.get_content()


def test_a_name_with_line_breaks_makes_no_headers(post: Post) -> None:
    office = mailing(post)
    office.done(notify=["ann@example.org"], name="shot\r\nBcc: eve@example.org")
    office.turn()
    (mail,) = post.mails
    assert mail["Bcc"] is None
    assert mail["Subject"] == "shot Bcc: eve@example.org has completed"


@pytest.mark.parametrize(("said", "again"), [("550 no such user", False), ("451 try again later", True)])
def test_a_mail_that_is_refused_for_now_is_sent_again(post: Post, said: str, again: bool) -> None:
    office = mailing(post)
    post.refused = said
    office.done(notify=["ann@example.org"])
    office.turn()
    post.refused = ""
    office.turn(100)
    assert len(post.mails) == again


def test_without_a_mail_server_nothing_waits() -> None:
    office = Office()
    office.done(notify=["ann@example.org"])
    office.turn()
    assert office.waiting() == []
