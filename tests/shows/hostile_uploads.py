"""`python -m tests.shows.hostile_uploads`: what somebody may send to do harm, at a real farm, and what each got.

1 if anything was taken that must not be, answered by a server error or not at all, made a process of the farm grow, was
seen where the farm must not ask, or was left behind.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from farm.adapters.pictures import encode_png
from farm.domain.detailer import JobType
from farm.domain.job import JobRequest
from farm.domain.state import JobState
from tests.e2e import hostile_questions, hostile_requests, hostile_strangers, hostile_uploads, hostile_videos
from tests.e2e.farm_under_test import FarmUnderTest, Process, until
from tests.e2e.hostile_attack import Attack, Got, Visitor
from tests.e2e.shots import DETAILER, MODEL, hand_in, request
from tests.shows.stage import say, stage

KEY = "a-long-key-of-an-attacker"
SLOW_S = 60.0
"""Seconds that an answer may take, on a busy machine."""
GROWTH_MB = 700
"""By which a process may grow: a picture at the pixel limit has 400 MB."""
DRIPS = 16
"""Attacks that wait for the farm's patience to end, at the same time."""


class Canary:
    """A port where nobody of the farm should ever come by."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.visits = 0
        port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/secret.ts"
        self.oddly = f"http://{0x7F000001}:{port}/secret.ts"
        """The same for whoever looks the number up."""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            visitor, _ = self._socket.accept()
            self.visits += 1
            visitor.close()


class Verdict:
    """Counts, and prints a line for each attack."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self.total = 0
        self.wrong = 0

    def judge(self, attack: Attack, process: Process) -> None:
        """Make an attack and say what came of it."""
        before, began = peak_mb(process, fresh=True), time.monotonic()
        got = self.made(attack)
        spent = time.monotonic() - began
        grown = peak_mb(process) - before
        faults = [attack.fault(got)] if attack.fault(got) else []
        if spent > SLOW_S:
            faults.append(f"it took {spent:.0f} s")
        if grown > GROWTH_MB:
            faults.append("the API grew")
        self.tell(attack, got, f"{spent:5.1f} s {grown:+5.0f} MB", faults)

    def made(self, attack: Attack) -> Got:
        """Its answer; a status of -1 where there is none."""
        try:
            return attack.make(self._visitor)
        except (OSError, ValueError) as error:
            return Got(-1, {}, f"{type(error).__name__}: {error}".encode())

    def tell(self, attack: Attack, got: Got, measured: str, faults: list[str]) -> None:
        """Print an attack's line."""
        self.total += 1
        if got.status not in attack.allowed:
            faults = [f"allowed were {', '.join(map(str, attack.allowed))}", *faults]
        self.wrong += bool(faults)
        name = re.sub(r"[^\x20-\x7e]", "?", attack.name)[:90]
        reason = re.sub(r"[^\x20-\x7e]", "?", got.reason)[:150]
        status = {0: "closed", -1: "NONE"}.get(got.status, str(got.status))
        say(f"{name:92}{status:>7} {measured}  {reason}", *(f"    WRONG: {fault}" for fault in faults))


def main(arguments: list[str] | None = None) -> int:
    """Print every attack with its answer; 0 if the farm was well with all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a regular expression: only attacks whose names it is in")
    only = parser.parse_args(arguments).only
    with stage() as here, scratch() as folder, here.farm(api_keys=f"tester:{KEY}", api_key=KEY) as farm:
        shot = here.shot(8)
        handed = hand_in(shot, farm)
        client = farm.api()
        process, worker = farm.processes[-1], farm.worker("w0")
        farm.await_workers(["w0"])
        job = farm.submit(request(handed, JobType.MASK))
        farm.wait(job)
        assert client.ready()[0]
        place = urlsplit(farm.api_url)
        visitor = Visitor(str(place.hostname), int(place.port or 0), KEY)
        verdict, canary, films = Verdict(visitor), Canary(), here.new("films")
        films.mkdir()
        begin = peak_mb(process), peak_mb(worker)
        attacks = (
            *(hostile_uploads.pictures(), hostile_uploads.archives(), hostile_uploads.moving(films, canary.url)),
            *(hostile_uploads.documents(), hostile_uploads.transfers(), hostile_requests.addresses(job)),
            hostile_requests.jobs(handed.clip, handed.masks["left"]),
            *(hostile_requests.webhooks(handed.clip, handed.masks["left"]), hostile_requests.models()),
            *(hostile_questions.questions(handed.clip), hostile_questions.parts(), hostile_questions.people()),
            hostile_strangers.strangers(KEY),
        )
        for family in attacks:
            for attack in family:
                if re.search(only, attack.name):
                    verdict.judge(attack, process)
        drip(verdict, [one for one in hostile_strangers.wire(place.netloc) if re.search(only, one.name)])
        ended = watched(farm, visitor, films, canary.oddly) if re.search(only, "worker") else []
        links = link_faults(farm, job)
        left = sorted(path.name for path in folder.iterdir() if path.name.startswith(("farm-upload", "tmp")))
        errors = [line for line in farm.log("api").splitlines() if "request_failed" in line]
        alive = process.alive and worker.alive and client.ready()[0]
        say(
            *ended,
            f"memory, peak: API {begin[0]:.0f} MB before, {peak_mb(process):.0f} MB after the last; "
            f"worker {begin[1]:.0f} MB before, {peak_mb(worker):.0f} MB after",
            f"addresses that the farm should not ask: asked {canary.visits} times",
            f"left behind in the folder for what is on its way: {left or 'nothing'}",
            f"signed links: {'; '.join(links) or 'refused once altered, once over'}",
            *(f"SERVER ERROR {line[:1500]}" for line in errors),
            f"{verdict.total} attacks, {verdict.wrong} wrong, {len(errors)} server errors, farm alive: {alive}",
        )
        bad = verdict.wrong or errors or left or links or canary.visits or not alive
        return 1 if bad or any("WRONG" in line for line in ended) else 0


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of the farm's own for what is on its way."""
    with tempfile.TemporaryDirectory(prefix="farm-scratch-") as folder:
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before


def drip(verdict: Verdict, attacks: list[Attack]) -> None:
    """Attacks that wait, side by side."""
    with ThreadPoolExecutor(DRIPS) as pool:

        def timed(attack: Attack) -> tuple[Got, float]:
            began = time.monotonic()
            return verdict.made(attack), time.monotonic() - began

        for attack, (got, spent) in zip(attacks, pool.map(timed, attacks), strict=True):
            verdict.tell(attack, got, f"{spent:5.1f} s         ", ["it took too long"] if spent > 2 * SLOW_S else [])


def watched(farm: FarmUnderTest, visitor: Visitor, folder: Path, inside: str) -> list[str]:
    """What becomes of jobs over what was let in though it is damaged: each ends, and the worker lives. Each wants its
    end to be told to an address inside of the farm's network."""
    clip = hostile_videos.clip(folder, "whole.mkv", frames=48)
    noise = clip[:2000] + bytes(255 - byte for byte in clip[2000:3000]) + clip[3000:]
    lines = []
    mask = visitor.upload("mask.png", encode_png(np.full((48, 64), 255, np.uint8))).document()["uri"]
    for name, data in {"cut.mkv": clip[: len(clip) // 2], "noise.mkv": noise, "whole.mkv": clip}.items():
        got = visitor.upload(name, data)
        if got.status != 201:
            lines.append(f"worker: {name}: refused, {got.reason[:100]}")
            continue
        body = {"input": {"uri": got.document()["uri"]}, "segments": [{"name": "a", "mask": mask}], "model": MODEL}
        wanted = {**body, "detailer": DETAILER, "webhook": {"url": inside}}
        job = farm.submit(JobRequest.model_validate(wanted))
        status = farm.wait(job, None)
        done = f"{len(farm.frames(job))} of {status.facts.frames} frames"
        lines.append(f"worker: {name}: job {status.state.value}, {done}")
        if status.state not in (JobState.COMPLETED, JobState.FAILED):
            lines.append("    WRONG: it should have ended")
        lines += unheard(visitor, job)
    return lines


def unheard(visitor: Visitor, job: str) -> list[str]:
    """Whether a job's webhook, which leads inside, was given up without being sent."""

    def told() -> list[dict[str, Any]]:
        notices = visitor.ask("GET", f"/api/v1/jobs/{job}/notices").document()["latest"]
        return [one for one in notices if one["attempts"]]

    until("a worker has tried the webhook", lambda: bool(told()))
    found = told()[0]
    reason = found["attempts"][0]["error"]
    wrong = [] if found["state"] == "dead" else [f"    WRONG: the notice is {found['state']}"]
    return [f"worker: its webhook inside is {found['state']}: {reason[:120]}", *wrong]


def link_faults(farm: FarmUnderTest, job: str) -> list[str]:
    """What is wrong with signed links to the store."""
    name = f"jobs/{job}/manifest.json"
    good, short = farm.blobs.url(name, 60), farm.blobs.url(name, 1)
    assert good is not None
    assert short is not None
    time.sleep(3)
    answers = {
        "sound": (httpx.get(good).status_code, 200),
        "altered": (httpx.get(good.replace("manifest", "job")).status_code, 403),
        "signed otherwise": (httpx.get(good[:-4] + "0000").status_code, 403),
        "over": (httpx.get(short).status_code, 403),
        "written to": (httpx.put(good, content=b"x").status_code, 403),
    }
    return [f"one that is {what} gave {seen}" for what, (seen, wanted) in answers.items() if seen != wanted]


def peak_mb(process: Process, *, fresh: bool = False) -> float:
    """The most memory that a process has had, since it was last asked to begin anew."""
    if fresh:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    text = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
