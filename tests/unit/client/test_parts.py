"""Large files in parts: what was sent before a break is not sent again."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest

from farm.adapters.pictures import encode_png
from farm.client import Farm, uploads
from farm.client.http import NotReached
from farm.domain import keys
from farm.errors import Rejected
from farm.service.gc import GcRequest, collect
from tests.unit.client.conftest import KEY, Running

PART = 150


@pytest.fixture
def pack(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip of pictures of several parts."""
    monkeypatch.setattr(uploads, "PART_BYTES", PART)
    path = tmp_path / "clip.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for picture in sorted(clip.iterdir()):
            out.write(picture, picture.name)
    assert path.stat().st_size > 5 * PART
    return path


class Line(httpx.HTTPTransport):
    """A network that breaks after some parts; notes what was sent."""

    def __init__(self, breaks_after: int) -> None:
        super().__init__()
        self._left = breaks_after
        self.parts: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if "/uploads/parts/" in request.url.path:
            if self._left == 0:
                raise httpx.ConnectError("cut")
            self._left -= 1
            self.parts.append(request.url.path.rpartition("/")[2])
        return super().handle_request(request)


def test_a_large_file_goes_in_parts_and_on_where_it_broke_off(running: Running, pack: Path) -> None:
    broken, whole = Line(3), Line(-1)
    with (
        Farm(running.url, KEY.partition(":")[2], patience_s=0, transport=broken) as farm,
        pytest.raises(NotReached),
    ):
        farm.upload(pack)
    heard: list[tuple[int, int]] = []
    with Farm(running.url, KEY.partition(":")[2], transport=whole) as farm:
        done = farm.upload(pack, lambda sent, total: heard.append((sent, total)))
        assert done.frames == 5
        size = pack.stat().st_size
        assert heard[0][0] >= 3 * PART, "what was sent before counts at once"
        assert heard[-1] == (size, size)
        assert set(broken.parts).isdisjoint(whole.parts)
        assert list(running.blobs.list("parts/")) == [], "they are the file now"
    assert len(broken.parts) + len(whole.parts) == -(-size // PART)


def test_equal_parts_are_sent_once(
    running: Running, client: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", PART)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(bytes(5 * PART))
    heard: list[int] = []
    with pytest.raises(Rejected):
        client.upload(path, lambda sent, total: heard.append(sent))
    assert heard[-1] == 5 * PART
    assert len(list(running.blobs.list("parts/"))) == 1


def test_parts_that_do_not_make_the_file_are_refused(running: Running, client: Farm) -> None:
    data = encode_png(np.zeros((4, 4, 3), np.uint8))
    part, other = hashlib.sha256(data).hexdigest(), "0" * 64
    client.http.put_file(f"/uploads/parts/{part}", lambda: iter([data]), len(data))
    with pytest.raises(Rejected, match="make a file with the sha256"):
        client.http.post("/uploads/whole", {"name": "a.png", "sha256": other, "parts": [part]})
    with pytest.raises(Rejected, match="1 of the 2 parts"):
        client.http.post("/uploads/whole", {"name": "a.png", "sha256": part, "parts": [part, other]})
    with pytest.raises(Rejected, match="sha256"):
        client.http.put_file(f"/uploads/parts/{other}", lambda: iter([data]), len(data))


def test_parts_that_nobody_used_are_collected(running: Running) -> None:
    running.blobs.put(keys.upload_part("ab" * 32), b"x")
    young = collect(GcRequest(now=0.0), running.blobs, running.farm.ledger, lambda kind, seen: None)
    assert "parts" not in young.objects
    old = collect(GcRequest(now=4e9), running.blobs, running.farm.ledger, lambda kind, seen: None)
    assert old.objects["parts"] == 1
    assert list(running.blobs.list("parts/")) == []
