"""The farm's API, as far as the nodes need it; with the standard library alone, which every ComfyUI has."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DEFAULT_ADDRESS = "http://127.0.0.1:8750"
KEY_FILE = Path("~/.config/detail-farm/api_key")
"""Holds the key where FARM_API_KEY does not. Never a widget: workflows are saved and shared."""
PREFIX = "/api/v1"
TIMEOUT_S = 60.0
PATIENCE_S = 60.0
"""Seconds for which a call is repeated while the farm does not answer."""
PAUSE_S = 1.0
BUSY = frozenset({429, 500, 502, 503, 504})
"""Answers after which asking again may help."""


class FarmError(Exception):
    """What the farm said, or that it said nothing; for the person at the page."""


class FarmSilent(FarmError):
    """Nothing answers at the address; later it may."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key goes to the address that it is for, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the handler's own signature
        return None


def default_address() -> str:
    """FARM_URL, or a farm on this machine."""
    return os.environ.get("FARM_URL") or DEFAULT_ADDRESS


def api_key() -> str:
    """FARM_API_KEY, or what is in the key file; empty: the farm wants none."""
    if found := os.environ.get("FARM_API_KEY", "").strip():
        return found
    try:
        return KEY_FILE.expanduser().read_text().strip()
    except OSError:
        return ""


def check_address(address: str) -> str:
    """The address without a slash at its end. Raises FarmError if it is none of a web server."""
    found = urllib.parse.urlsplit(address.strip())
    if found.scheme not in ("http", "https") or not found.hostname:
        raise FarmError(f"{address!r} is no address of a farm. Write it as {DEFAULT_ADDRESS}.")
    return address.strip().rstrip("/")


class Api:
    """One farm."""

    def __init__(
        self, address: str, key: str | None = None, *, patience_s: float = PATIENCE_S, timeout_s: float = TIMEOUT_S
    ) -> None:
        """
        Args:
            key: None: from the environment or the key file.
            patience_s: seconds for which a call is repeated while nothing answers.
            timeout_s: seconds without a byte after which a call is given up.
        Raises:
            FarmError: that is no address.
        """
        self.address = check_address(address)
        self._key = api_key() if key is None else key
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._open = urllib.request.build_opener(_NoRedirect).open

    # --- what the nodes ask ---

    def models(self, kind: str) -> dict[str, str]:
        """Name -> content hash of the models of a kind."""
        return {model["name"]: model["hash"] for model in self.get(f"/models?kind={kind}")["items"]}

    def upload_pictures(self, name: str, pictures: Sequence[bytes]) -> str:
        """Hand in PNGs as one clip, or one mask per frame; its URI. What the farm has is not sent again."""
        digests = [hashlib.sha256(picture).hexdigest() for picture in pictures]
        by_digest = dict(zip(digests, pictures, strict=True))
        wanted = list(by_digest)
        for start in range(0, len(wanted), 1000):
            asked = [{"sha256": digest} for digest in wanted[start : start + 1000]]
            for digest in self.post("/uploads/check", asked)["missing"]:
                self.call("PUT", f"/uploads/blobs/{digest}", by_digest[digest])
        items = [{"name": f"{number:06d}.png", "sha256": digest} for number, digest in enumerate(digests, 1)]
        return str(self.post("/uploads/collections", {"name": name, "items": items})["uri"])

    def upload(self, name: str, data: bytes) -> str:
        """Hand in one file; its URI."""
        return str(json.loads(self.call("POST", f"/uploads?name={urllib.parse.quote(name)}", data))["uri"])

    def submit(self, document: Mapping[str, Any]) -> str:
        """Submit a job, once, however often the call is repeated; its id."""
        return str(self.post("/jobs", document, {"Idempotency-Key": uuid.uuid4().hex})["id"])

    def job(self, job: str, revision: int | None, wait_s: float) -> dict[str, Any]:
        """A job as it stands, as soon as it is another than at `revision`."""
        query = f"?wait={wait_s:g}&since={revision}" if revision is not None else ""
        found: dict[str, Any] = self.get(f"/jobs/{job}{query}")
        return found

    def cancel(self, job: str, reason: str) -> None:
        """Stop a job."""
        self.post(f"/jobs/{job}/actions", {"action": "cancel", "reason": reason})

    def faults(self, job: str) -> list[str]:
        """Why tasks of a job have failed."""
        return [str(task.get("error", "")) for task in self.get(f"/jobs/{job}/tasks?state=failed")["items"]]

    def frames(self, job: str) -> Iterator[tuple[int, int, bytes]]:
        """Variation, position and PNG of every final frame."""
        since, more = "", True
        while more:
            page = self.get(f"/jobs/{job}/outputs?since={since}")
            for frame in page["frames"]:
                yield frame["variation"], frame["position"], self.file(job, frame["path"])
            since, more = page["since"], page["more"]

    def folder(self, job: str, folder: str) -> Iterator[tuple[str, bytes]]:
        """Name and content of every file in one of a job's folders, in order."""
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(f"/jobs/{job}/files?folder={folder}&limit=1000&cursor={urllib.parse.quote(cursor)}")
            for item in page["items"]:
                yield item["path"].rpartition("/")[2], self.file(job, item["path"])
            cursor = page["next_cursor"]

    def file(self, job: str, path: str) -> bytes:
        """One of a job's files."""
        return self.call("GET", f"/jobs/{job}/outputs/{urllib.parse.quote(path)}")

    # --- how ---

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """The JSON answer of a GET."""
        return json.loads(self.call("GET", path))

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """The JSON answer of a POST that may be repeated."""
        return json.loads(self.call("POST", path, json.dumps(body).encode(), "application/json", headers))

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of an answer; the call is repeated for a while where nothing answers.

        Raises:
            FarmError: the farm refuses, in its own words.   FarmSilent: it does not answer.
        """
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self._once(method, path, body, {"Content-Type": content_type, **(headers or {})})
            except FarmSilent:
                if time.monotonic() > until:
                    raise
            time.sleep(min(PAUSE_S, max(0.0, until - time.monotonic())))

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # The address was checked to be http or https when it was given.
        request = urllib.request.Request(self.address + PREFIX + path, body, headers, method=method)
        try:
            with self._open(request, timeout=self._timeout_s) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise FarmSilent(
                f"The farm at {self.address} does not answer ({error}). Start it, or correct the node's `farm`."
            ) from None

    def _refusal(self, error: urllib.error.HTTPError) -> FarmError:
        with error:
            said = error.read(100_000)
        try:
            detail = str(json.loads(said)["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"The farm answered with {error.code} {error.reason}."
        if error.code == 401:
            detail += f" Set FARM_API_KEY where ComfyUI is started, or write the key into {KEY_FILE}."
        return FarmSilent(detail) if error.code in BUSY else FarmError(detail)
