"""What may be asked for of notices, and what of it others see."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from farm.domain.events import KINDS, Event, EventPage, known_kinds, position
from farm.domain.job import JobRequest
from farm.domain.notices import TRIES, WebhookRequest, delivery_id, is_address, shown, signature, wait_s
from farm.errors import Rejected


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/x", "file:///etc/passwd", "https://", "//host/x", "host/x", "gopher://host", "http://user@host/"),
        *(
            "http://host/a b",
            "http://host\\@evil/",
            "http://host:99999/",
            "http://höst/",
            "http://[::1",
            "javascript:1",
        ),
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookRequest(url=url)


@pytest.mark.parametrize("secret", ["short", "x" * 257])
def test_a_secret_must_be_one_and_is_not_repeated_in_the_error(secret: str) -> None:
    with pytest.raises(ValidationError, match="16 to 256 characters"):
        WebhookRequest(url="https://host/", secret=secret)
    assert "sixteen or more" not in repr(WebhookRequest(url="https://host/", secret="sixteen or more!"))


@pytest.mark.parametrize("kinds", [("job.exploded",), ("notice",), ("notice.sent",), ("jobs",)])
def test_kinds_must_be_known_and_none_of_notices(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        WebhookRequest(url="https://host/", kinds=kinds)


def test_a_family_stands_for_all_of_its_kinds() -> None:
    assert known_kinds(("chunk", "job.completed")) == ("job.completed", "chunk.done", "chunk.failed")
    assert known_kinds(("worker.*",)) == tuple(kind for kind in KINDS if kind.startswith("worker."))
    with pytest.raises(Rejected, match=r"There are: job\.submitted"):
        known_kinds(("nothing",))


def test_others_see_where_a_webhook_leads_and_not_its_path() -> None:
    assert shown("https://hooks.example:8443/services/T0/B0/secret?key=1") == "https://hooks.example:8443/…"


@pytest.mark.parametrize("text", ["ann@example.org", "a.b+c@x-y.example", "root@localhost"])
def test_an_address_of_mail_is_known(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text", ["ann", "@x", "a@", "a b@x.org", "a@x.org\nBcc: b@x.org", "a@x..org", "a" * 65 + "@x.org"]
)
def test_what_is_no_address_of_mail_is_refused(text: str) -> None:
    wanted = {"input": {"uri": "u"}, "segments": [{"name": "s", "mask": "m"}], "notify": [text]}
    with pytest.raises(ValidationError, match="no mail address"):
        JobRequest.model_validate(wanted)


def test_a_signature_is_as_documented() -> None:
    # printf '1700000000.{"id":"1-0"}' | openssl dgst -sha256 -hmac 'a secret of mine'
    made = signature("a secret of mine", 1_700_000_000, b'{"id":"1-0"}')
    assert made == "t=1700000000,v1=42a6324bc1dcac844db45503a2de78ec206437f695dedf15fbaed7e5bc51488c"


def test_waits_grow_and_end_within_a_day() -> None:
    waits = [wait_s(number) for number in range(1, TRIES)]
    assert waits == sorted(waits)
    assert (waits[0], max(waits)) == (5, 4 * 3600)
    assert 3600 < sum(waits) < 24 * 3600


def test_a_delivery_is_named_by_event_and_receiver() -> None:
    one, other = (Event(f"170000000000{n}-{n}", 1.0, "job.completed", "j", {}) for n in (1, 2))
    names = [delivery_id(one, "webhook", "a"), delivery_id(one, "webhook", "b"), delivery_id(other, "webhook", "a")]
    assert len(set(names)) == 3
    assert names[0] == delivery_id(one, "webhook", "a")
    assert max(names[:2]) < names[2]


@pytest.mark.parametrize(
    ("known", "is_known"), [("4-9", False), ("5-0", True), ("7-2", True), ("9-1", True), ("9-2", False)]
)
def test_a_log_knows_from_its_floor_to_its_newest(known: str, is_known: bool) -> None:
    assert EventPage((), "5-0", "9-1").knows(known) is is_known


def test_ids_are_compared_as_numbers() -> None:
    assert position("9-10") > position("9-9")
    assert position("10-0") > position("9-99")
