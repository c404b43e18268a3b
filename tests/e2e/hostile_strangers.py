"""What strangers may send to do harm: keys and sessions that are none, pages of others, requests that are none."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from api.session import sign
from tests.e2e.hostile_attack import JSON, Attack, Got, Make, Visitor


def strangers(key: str) -> Iterator[Attack]:
    """Keys, sessions and pages of others."""
    secret = hashlib.sha256(key.encode()).digest()
    own = sign("tester", secret, time.time())
    forged = sign("tester", b"a guess", time.time())
    ended = sign("tester", secret, time.time() - 1_000_000)
    body, _, mark = own.rpartition(".")
    longer = f"{body}9.{mark}"

    def ask(
        headers: dict[str, str], method: str = "GET", target: str = "/api/v1/jobs", data: bytes | None = None
    ) -> Make:
        return lambda visitor: visitor.ask(method, target, data, headers, known=False)

    yield Attack("key: none", ask({}), (401,))
    for wrong in ("x", key[:-1], key + "x", "", " ", key.upper(), "\xff" * 40, "a" * 60_000):
        yield Attack(f"key: {wrong[:30]!r}", ask({"Authorization": f"Bearer {wrong}"}), (0, 400, 401, 431))
    yield Attack("key: in the address", ask({}, target=f"/api/v1/jobs?api_key={key}"), (401,))
    yield Attack(
        "key: 8 MB of JSON from a stranger", ask(JSON, "POST", data=b"[" + b"1," * (4 << 20) + b"1]"), (400, 401, 413)
    )
    for label, cookie in {
        "forged": forged,
        "ended": ended,
        "longer": longer,
        "empty": "",
        "odd": "a.b.c.²",
        "none": "a...",
    }.items():
        yield Attack(f"session: {label}", ask({"Cookie": f"farm_session={cookie}".encode().decode("latin-1")}), (401,))
    signed = {"Cookie": f"farm_session={own}", **JSON}
    yield Attack("session: its own", ask(signed), (200,))
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://[", "http://127.0.0.1:1"):
        yield Attack(
            f"session: a POST from a page of {origin}",
            ask({**signed, "Origin": origin}, "POST", data=b"{}"),
            (400, 403),
        )
    yield Attack("session: asked for by another site", ask({**signed, "Sec-Fetch-Site": "cross-site"}), (403,))
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    yield Attack("page: may it ask (CORS)?", ask(asked, "OPTIONS"), (401, 403, 405), no_cors)
    yield Attack("page: it asks with a key", ask({**asked, "Authorization": f"Bearer {key}"}), (200, 403), no_cors)
    for host in ("evil.example", "[", "[::1", "a b", "127.0.0.1:x", "", "x" * 5000, "evil.example@127.0.0.1", "a/../b"):
        yield Attack(f"host: {host[:30]!r}", ask({"Host": host, "Authorization": f"Bearer {key}"}), (0, 200, 400, 403))
    yield Attack("proxy: a forged address", ask({"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}), (401,))


def no_cors(got: Got) -> str:
    """No other page is told that it may read."""
    return next((f"it has {name}" for name in got.headers if name.lower().startswith("access-control-")), "")


def wire(host: str) -> Iterator[Attack]:
    """Requests that are no requests, or do not end."""
    head = f"Host: {host}\r\nAuthorization: Bearer KEY\r\n"
    start = f"POST /api/v1/uploads?name=a.png HTTP/1.1\r\n{head}"
    both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
    texts = {
        "two lengths": (f"{start}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "", (400,)),
        "a length and chunks": (start + both, "", (0, 400, 422)),
        "a length below 0": (f"{start}Content-Length: -5\r\n\r\n", "", (400,)),
        "a length that is no number": (f"{start}Content-Length: x\r\n\r\n", "", (400,)),
        "a chunk of 2^64 bytes": (
            f"{start}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            "",
            (0, 400, 408),
        ),
        "a header of 1 MB": (f"GET / HTTP/1.1\r\n{head}X: {'a' * (1 << 20)}\r\n\r\n", "", (0, 400, 431)),
        "20,000 headers": (f"GET / HTTP/1.1\r\n{head}" + "X: a\r\n" * 20_000 + "\r\n", "", (0, 200, 400, 431)),
        "two hosts": (f"GET / HTTP/1.1\r\n{head}Host: evil.example\r\n\r\n", "", (400,)),
        "no request at all": ("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", "", (0, 400)),
        "a method of its own": (f"X-Y /api/v1/jobs HTTP/1.1\r\n{head}\r\n", "", (400, 401, 405)),
        "a head that drips": (f"GET / HTTP/1.1\r\n{head}X: ", "a", (0, 408)),
        "silence": ("", "", (0,)),
        "a body that never comes": (f"{start}Content-Length: 1000\r\n\r\n", "", (0, 408)),
        "JSON that never comes": (f"POST /api/v1/jobs HTTP/1.1\r\n{head}Content-Length: 9\r\n\r\n", "", (0, 400, 408)),
        "chunks without end, a byte a second": (f"{start}Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", (0, 408)),
        "a body that drips after its answer": (
            f"POST /x HTTP/1.1\r\n{head}Content-Length: 9999\r\n\r\n",
            "a",
            (0, 404),
        ),
    }
    for label, (text, drip, allowed) in texts.items():

        def make(visitor: Visitor, text: str = text, drip: str = drip) -> Got:
            return visitor.raw(text.replace("KEY", visitor.key).encode("latin-1"), drip=drip.encode())

        yield Attack(f"wire: {label}", make, allowed)
