"""Where webhooks may lead to, and how long the other side may take."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from farm.adapters import webhook
from farm.adapters.notice_check import check_notices
from farm.adapters.webhook import NotAllowed, checked, post, public
from farm.domain.job import JobRequest
from farm.errors import Rejected, Unavailable
from farm.settings import Settings

LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0"),
        *("169.254.169.254", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    ],
)
def test_an_address_that_is_not_public_is_none_in_any_clothes(address: str) -> None:
    assert not public(ipaddress.ip_address(address))
    with pytest.raises(NotAllowed, match="no public address"):
        checked("host.example", [address], ())


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_is_let_through(address: str) -> None:
    assert checked("host.example", [address], ()) == [address]


def test_one_address_inside_is_enough_to_refuse_a_name() -> None:
    with pytest.raises(NotAllowed):
        checked("host.example", ["1.1.1.1", "10.0.0.1"], ())


def test_a_network_that_is_allowed_is_allowed_and_no_other() -> None:
    assert checked("host", ["127.0.0.9", "::ffff:127.0.0.9"], LOOPBACK)
    with pytest.raises(NotAllowed):
        checked("host", ["10.0.0.1"], LOOPBACK)


def resolving(monkeypatch: pytest.MonkeyPatch, answers: Sequence[str]) -> list[str]:
    """Have names mean other addresses with every look; the names that were looked up."""
    asked: list[str] = []
    left = list(answers)
    real = socket.getaddrinfo

    def fake(host: str, port: int, *rest: int, **more: int) -> object:
        if host.endswith(".example"):
            asked.append(host)
            host = left.pop(0)
        return real(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return asked


def test_a_name_that_changes_between_two_looks_leads_nowhere_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolving(monkeypatch, ["127.0.0.1"])
    with pytest.raises(NotAllowed):
        post("http://rebinding.example/", {}, b"{}", ())
    assert asked == ["rebinding.example"]


def test_a_name_is_looked_up_once_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with speaking(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, heard):
        asked = resolving(monkeypatch, ["127.0.0.1", "8.8.8.8"])
        post(f"http://inside.example:{port}/x", {"A": "b"}, b"{}", LOOPBACK)
    assert asked == ["inside.example"]
    assert f"Host: inside.example:{port}".encode() in b"".join(heard)


@contextmanager
def speaking(said: bytes, *, then: float | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """A server that says something to whoever connects, byte by byte every `then` seconds if that is given."""
    heard: list[bytes] = []
    over = Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            heard.append(connection.recv(65536))
            if then is None:
                connection.sendall(said)
                return
            for byte in said:
                if over.wait(then):
                    return
                connection.sendall(bytes([byte]))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        over.set()
        thread.join()


def test_a_server_that_speaks_ever_so_slowly_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TOTAL_S", 0.3)
    slow = b"HTTP/1.1 204 No Content\r\n" + b"X: y\r\n" * 100
    with speaking(slow, then=0.02) as (port, _), pytest.raises(Unavailable, match="not received"):
        post(f"http://127.0.0.1:{port}/", {}, b"{}", LOOPBACK)


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops"])
def test_what_is_no_good_answer_is_tried_again(said: bytes) -> None:
    with speaking(said) as (port, _), pytest.raises(Unavailable):
        post(f"http://127.0.0.1:{port}/", {}, b"{}", LOOPBACK)


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unavailable, match="not received"):
        post(f"http://127.0.0.1:{port}/", {}, b"{}", LOOPBACK)


def asking(url: str) -> JobRequest:
    """A job with a webhook."""
    wanted = {"input": {"uri": "upload:x"}, "segments": [{"name": "s", "mask": "upload:y"}], "webhook": {"url": url}}
    return JobRequest.model_validate(wanted)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "https://[::1]/", "http://169.254.169.254/", "http://localhost:1/"]
)
def test_an_address_inside_is_refused_when_a_job_is_submitted(url: str) -> None:
    with pytest.raises(Rejected, match="FARM_WEBHOOK_NETWORKS"):
        check_notices(asking(url), Settings.read())
    everything = Settings.read(webhook_networks="127.0.0.0/8,::1/128,169.254.0.0/16")
    assert check_notices(asking(url), everything) == ()


def test_a_job_that_wants_mails_of_a_farm_without_is_warned() -> None:
    wanted = asking("https://hooks.example/").model_copy(update={"notify": ("ann@example.org",)})
    (warning,) = check_notices(wanted, Settings.read())
    assert "sends no mails" in warning
    assert check_notices(wanted, Settings.read(smtp_url="smtp://mail", mail_from="farm@example.org")) == ()
