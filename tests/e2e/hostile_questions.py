"""What somebody may ask of the routes for detectors, workflows, parts, users and notices, and what may come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from tests.e2e import hostile_pictures as bad
from tests.e2e.hostile_attack import Attack, Got, Visitor
from tests.e2e.hostile_requests import HEX, NONE, get, no_secret

PLACES = ("file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:6379/", "s3://../../x/", "upload:../../jobs/x/job")


def sent(
    label: str, path: str, document: object, allowed: tuple[int, ...] = (400, 422), method: str = "POST"
) -> Attack:
    """Somebody who sends JSON."""
    return Attack(label, lambda visitor: visitor.send(method, path, document), allowed, no_secret)


def questions(clip: str) -> Iterator[Attack]:
    """Detectors and workflows that lead to files, machines and code."""
    for place in PLACES:
        yield sent(f"detect: in a clip at {place!r}", "/detect", {"uri": place})
    for name in ("../../../../etc/passwd", "a\0b", "http://127.0.0.1/x.pt", "face.pt", "d" * 5000):
        yield sent(f"detect: a detector named {name[:30]!r}", "/detect", {"uri": clip, "detector": name, "wait": 0})
        yield sent(f"detect: a SAM named {name[:30]!r}", "/detect", {"uri": clip, "sam": name, "wait": 0})
    yield sent("detect: a frame that is not there", "/detect", {"uri": clip, "frame": 2**53, "wait": 0})
    for label, workflow in _workflows().items():
        yield sent(f"workflow: {label}", "/comfy", {"workflow": workflow, "frames": clip}, (400, 413, 422))
    yield sent("workflow: nested 100,000 deep", "/comfy", b'{"workflow":' + b'{"a":' * 100_000)


def _workflows() -> dict[str, dict[str, Any]]:
    pipe = {"class_type": "MaskDetailerPipe", "inputs": {"basic_pipe": ["2", 0], "mask": ["3", 0], "image": ["3", 0]}}
    to_itself = {"class_type": "ToBasicPipe", "inputs": {key: ["2", 0] for key in ("model", "clip", "vae")}}
    chain = {
        str(n): {"class_type": "LoraLoader", "inputs": {"model": [str(n + 1), 0], "clip": [str(n + 1), 1]}}
        for n in range(3, 9_003)
    }
    return {
        "a node that feeds itself": {"1": pipe, "2": to_itself},
        "9,000 LoRAs in a row": {"1": pipe, "2": {**to_itself, "inputs": {"model": ["3", 0]}}, **chain},
        "9,000 detailers": {str(n): pipe for n in range(9_000)},
        "a mask at /etc/passwd": {
            "1": pipe,
            "3": {"class_type": "LoadImage", "inputs": {"image": "../../../../etc/passwd"}},
        },
        "a class that is code": {"1": {"class_type": "__import__('os').system('ls')", "inputs": {}}},
        "inputs that are none": {"1": {"class_type": "MaskDetailerPipe", "inputs": [1, 2]}, "2": 7, "3": None},
    }


def parts() -> Iterator[Attack]:
    """Large uploads in parts that are not as they say."""
    other = hashlib.sha256(b"other").hexdigest()
    yield Attack(
        "part: bytes under another digest", lambda v: v.ask("PUT", f"/api/v1/uploads/parts/{other}", b"x"), (422,)
    )
    yield Attack(
        "part: a name that climbs out", lambda v: v.ask("PUT", "/api/v1/uploads/parts/..%2f..%2fx", b"x"), NONE
    )
    large = {"Content-Length": str((64 << 20) + 1)}
    yield Attack(
        "part: larger than a part may be, as it says",
        lambda v: v.ask("PUT", f"/api/v1/uploads/parts/{other}", b"x", large),
        (413,),
    )
    yield sent("part: a file of parts that are not here", "/uploads/whole", _whole(b"", HEX), (409,))
    yield sent("part: 10,001 of them", "/uploads/whole", {"name": "x", "sha256": HEX, "parts": [HEX] * 10_001}, (422,))
    yield sent("part: a name that climbs out of a file's", "/uploads/whole", _whole(b"", "../../x"), (422,))
    yield Attack("part: a file that is another", lambda v: _handed(v, bad.PLAIN, sha256=HEX), (422,))
    yield Attack("part: a file that is a pickle", lambda v: _handed(v, bad.pickled()), (422,), no_secret)
    yield Attack(
        "part: a file whose name climbs out", lambda v: _handed(v, bad.PLAIN, "../../etc/x.png"), (201,), plain
    )
    block = bytes(64 << 20)
    yield Attack("part: 64 MB, 10,000 times", lambda v: _handed(v, block, times=10_000), (413,))


def plain(got: Got) -> str:
    """The farm has kept a name, and no path."""
    name = str(got.document()["name"])
    return f"it is named {name!r}" if "/" in name or ".." in name else ""


def _whole(data: bytes, part: str, name: str = "x.png") -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "parts": [part]}


def _handed(visitor: Visitor, data: bytes, name: str = "x.png", sha256: str = "", times: int = 1) -> Got:
    """Hand in a part, and have a file made of it."""
    part = hashlib.sha256(data).hexdigest()
    visitor.ask("PUT", f"/api/v1/uploads/parts/{part}", data)
    wanted = {"name": name, "sha256": sha256 or hashlib.sha256(data * times if times == 1 else b"").hexdigest()}
    return visitor.send("POST", "/uploads/whole", {**wanted, "parts": [part] * times})


def people() -> Iterator[Attack]:
    """Users and keys that are none; streams and pages of what is not there."""
    for name in ("../../x", "a\0b", "", "a" * 5000, "\u202ea", "-rf", "a\r\nX-Bad: 1", "a/b"):
        yield sent(f"user: named {name[:30]!r}", "/users", {"name": name}, (422,))
        yield sent(f"user: a key for {name[:30]!r}", "/keys", {"user": name}, (422,))
    yield sent("user: a role of its own", "/users", {"name": "eve", "role": "root"}, (422,))
    yield sent("user: a quota without end", "/users", {"name": "eve", "quota": {"jobs": 1e300}}, (422,))
    yield sent("user: a key for ever and a day", "/keys", {"user": "tester", "days": 1e300}, (422,))
    for path in ("users/..%2f..%2fx", "users/%00", "keys/..%2fx", "audit?cursor=../../x", "audit?since=" + "9" * 400):
        yield get(f"/api/v1/{path}", NONE)
    for place in ("..%2fx", "1-" + "9" * 400, "%00"):
        yield get(f"/api/v1/events?since={place}")
    yield get("/api/v1/feed?limit=999999999")
