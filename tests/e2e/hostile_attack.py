"""An attack on the API, and somebody who makes it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

JSON = {"Content-Type": "application/json"}
PATIENCE_S = 120.0
"""Seconds after which an answer counts as none."""


class Got(NamedTuple):
    """An answer."""

    status: int
    """0: the connection was closed without one."""
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The JSON object that came back."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def reason(self) -> str:
        """A line that says what came back."""
        try:
            document: Any = json.loads(self.body)
        except ValueError:
            return self.body[:80].decode(errors="replace")
        if isinstance(document, dict):
            return str(document.get("detail") or {key: document[key] for key in list(document)[:5]})
        return str(document)[:80]


def _fine(got: Got) -> str:
    return ""


@dataclass(frozen=True)
class Attack:
    """A request, what may come of it, and what else must hold."""

    name: str
    make: Callable[[Visitor], Got]
    allowed: tuple[int, ...]
    """Statuses with which the farm is well."""
    fault: Callable[[Got], str] = field(default=_fine)
    """What is wrong with an answer all the same; "" for nothing."""


class Visitor:
    """Sends what it is told, byte for byte: no address is tidied up on its way."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self.host, self.port, self.key = host, port, key

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        known: bool = True,
    ) -> Got:
        """One request; `known`: with the key."""
        given = {"Authorization": f"Bearer {self.key}"} if known else {}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            all_headers = {"Host": f"{self.host}:{self.port}", **given, **(headers or {})}
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in all_headers.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in all_headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            return self._sent(connection, body)
        finally:
            connection.close()

    def _sent(self, connection: http.client.HTTPConnection, body: bytes | None) -> Got:
        try:
            if body:
                connection.send(body)
        except OSError:
            pass  # it has heard enough, and may have answered
        try:
            answer = connection.getresponse()
            return Got(answer.status, dict(answer.getheaders()), answer.read())
        except (http.client.HTTPException, ConnectionError):
            return Got(0, {}, b"connection closed")

    def upload(self, name: str, data: bytes, **query: str) -> Got:
        """Hand in a file."""
        return self.ask("POST", f"/api/v1/uploads?{urlencode({'name': name, **query})}", data)

    def send(self, method: str, path: str, document: object) -> Got:
        """Send JSON to an address of the API."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask(method, f"/api/v1{path}", data, JSON)

    def raw(self, data: bytes, *, drip: bytes = b"", every_s: float = 1.0, most_s: float = PATIENCE_S) -> Got:
        """Send bytes as they are, and then one of `drip` again and again, until there is an answer or an end."""
        with socket.create_connection((self.host, self.port), timeout=every_s) as connection:
            end, answer = time.monotonic() + most_s, b""
            try:
                connection.sendall(data)
                while time.monotonic() < end:
                    try:
                        if drip:
                            connection.sendall(drip)
                        part = connection.recv(65_536)
                        answer += part
                        if not part or (not drip and b"\r\n\r\n" in answer):
                            return _parsed(answer)
                    except TimeoutError:
                        continue
            except ConnectionError:
                return _parsed(answer)
        return Got(-1, {}, f"still open after {most_s:g} s".encode())


Make = Callable[[Visitor], Got]
"""A way to make an attack."""


def _parsed(answer: bytes) -> Got:
    if not answer.startswith(b"HTTP/1.1 "):
        return Got(0, {}, b"connection closed")
    head, _, body = answer.partition(b"\r\n\r\n")
    return Got(int(head.split(b" ")[1]), {}, body)
