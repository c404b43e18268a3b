"""`python -m tests.shows.schemathesis_run`: thousands of requests made from the API's own document, at a real farm.

Runs Schemathesis twice, with an API key: once with ids of its own making, and once with those of a job that has ended,
a frame, an upload and a model that are there, so that requests get past the first look. 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from farm.domain.detailer import JobType
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.shots import MODEL, hand_in, request
from tests.shows.stage import say, stage

KEY = "a-long-key-of-schemathesis"
NO_RATES = {"rate_per_key": 0, "rate_per_address": 0, "rate_wrong_keys": 0}
"""Or most requests would be answered by 429, and test nothing else. The show of the users has the limits."""
ENOUGH = 2000
"""Cases, over both runs."""
LIMIT_S = 3600
"""Seconds of one run at the most."""
ENDLESS = ("/api/v1/events", "/api/v1/feed", "/api/v1/jobs/{job_id}/events")
"""Streams that end when the client goes: no answer to be checked as a whole."""
REFERRING = (
    *(
        "POST /api/v1/jobs",
        "POST /api/v1/jobs/plan",
        "POST /api/v1/jobs:validate",
        "POST /api/v1/jobs/{job_id}/actions",
    ),
    *("POST /api/v1/comfy", "POST /api/v1/detect"),
    *("POST /api/v1/uploads", "POST /api/v1/uploads/collections", "PUT /api/v1/uploads/blobs/{sha256}"),
    "PUT /api/v1/uploads/parts/{sha256}",
    *("PUT /api/v1/models/blobs/{sha256}", "PUT /api/v1/models/{name}", "PATCH /api/v1/jobs/{job_id}"),
    "PATCH /api/v1/users/{name}",
    *("GET /api/v1/jobs/{job_id}/outputs", "GET /api/v1/jobs/{job_id}/outputs/{path}", "POST /api/v1/session"),
)
"""Routes that may refuse what the document allows, since they compare it with what the farm has, or with itself."""
ACCEPTED = ["2xx", "3xx", "400", "401", "403", "404", "409", "413", "422", "429"]
EXCLUDED = ("object_level_authorization",)
"""Checks that ask for what the farm does not promise: all its users see all jobs."""


def main(arguments: list[str] | None = None) -> int:
    """Print cases, checks, and failures by route; 0 if there were enough cases and not one failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5, help="cases of the fuzzing phase per route and run")
    parser.add_argument("--seed", type=int, default=20_261_120)
    parser.add_argument("--only", default="", help="a regular expression: only paths that match")
    parser.add_argument("--keep", type=Path, help="folder for the full reports")
    given = parser.parse_args(arguments)
    total, failed = 0, 0
    with stage() as here, here.farm(api_keys=f"tester:{KEY}", api_key=KEY, **NO_RATES) as farm:
        known = _furnished(here.shot(8), farm)
        for name, values in (("ids of its own making", {}), ("ids that are there", known)):
            folder = given.keep / name.replace(" ", "-") if given.keep else here.new("report")
            folder.mkdir(parents=True, exist_ok=True)
            _configure(folder, values, given.examples)
            cases, faults = _run(folder, farm.api_url, given.seed, given.only, known=bool(values))
            say(f"{name}: {cases.total()} cases on {len(cases)} routes, {len(faults)} failures")
            say(*(f"    {count:5}  {route}" for route, count in sorted(cases.items())))
            say(*(f"    FAILED {route}: {text}" for route, text in faults))
            total, failed = total + cases.total(), failed + len(faults)
        errors = [line for line in farm.log("api").splitlines() if "request_failed" in line]
        say(*(f"    SERVER ERROR {line[:2000]}" for line in errors))
    say(f"{total} cases (at least {ENOUGH} are wanted), {failed} failures, {len(errors)} server errors")
    return 0 if total >= ENOUGH and not failed and not errors else 1


def _furnished(shot: Any, farm: FarmUnderTest) -> dict[str, object]:  # noqa: ANN401 - a Shot
    """A farm with a job that has ended; the path parameters that name what is there."""
    client = farm.api()
    handed = hand_in(shot, farm)
    farm.worker("w0")
    farm.await_workers(["w0"])
    job = farm.submit(request(handed, JobType.MASK))
    farm.wait(job)
    assert client.ready()[0]
    return {
        "path.job_id": job,
        "path.number": 1,
        "path.upload_id": handed.clip.removeprefix("upload:"),
        "path.name": MODEL,
        "path.path": "frames/0001.png",
        "path.task_id": "plan.000000",
    }


def _configure(folder: Path, values: Mapping[str, object], examples: int) -> None:
    parameters = "".join(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in values.items())
    text = (
        f"generation.max-examples = {examples}\ncontinue-on-failure = true\n"
        f"[output.truncation]\nenabled = false\n[parameters]\n{parameters}"
    )
    text += "".join(
        f"[[operations]]\ninclude-name = {json.dumps(name)}\n"
        f"checks.positive_data_acceptance.expected-statuses = {json.dumps(ACCEPTED)}\n"
        for name in REFERRING
    )
    (folder / "schemathesis.toml").write_text(text)


def _run(folder: Path, url: str, seed: int, only: str, *, known: bool) -> tuple[Counter[str], list[tuple[str, str]]]:
    """Cases by route, and each failure with its route."""
    report = folder / "events.ndjson"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--checks", "all", "--exclude-checks", ",".join(EXCLUDED)),
        *("--header", f"Authorization: Bearer {KEY}", "--seed", str(seed), "--no-shrink"),
        *("--report", "ndjson", "--report-ndjson-path", str(report), "--suppress-health-check", "all"),
        *("--request-timeout", "60", "--generation-database", "none", "--no-color"),
    ]
    for path in ENDLESS:
        command += ["--exclude-path", path]
    if known:  # what is there is to stay there
        command += ["--exclude-method", "DELETE", "--phases", "examples,coverage,fuzzing"]
    if only:
        command += ["--include-path-regex", only]
    environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
    with (folder / "said.txt").open("w") as said:
        subprocess.run(command, cwd=folder, env=environment, stdout=said, stderr=said, timeout=LIMIT_S, check=False)
    if not report.exists():
        raise RuntimeError((folder / "said.txt").read_text()[-4000:])
    return _read(report)


def _read(report: Path) -> tuple[Counter[str], list[tuple[str, str]]]:
    cases: Counter[str] = Counter()
    faults: dict[tuple[str, str], None] = {}
    for recorder in _recorders(report):
        for case in recorder.get("cases", {}).values():
            value = case["value"]
            cases[f"{value['method']} {value['path']}"] += 1
        for case_id, checks in recorder.get("checks", {}).items():
            value = recorder["cases"][case_id]["value"]
            for check in checks:
                if check["status"] != "success":
                    faults[f"{value['method']} {value['path']}", _told(check)] = None
    return cases, list(faults)


def _told(check: Mapping[str, Any]) -> str:
    failure = (check.get("failure_info") or {}).get("failure", {})
    return f"{check['name']}: {failure.get('title', '')} {failure.get('message', '')}"[:600].replace("\n", " ")


def _recorders(report: Path) -> Iterator[dict[str, Any]]:
    with report.open() as lines:
        for line in lines:
            for event in json.loads(line).values():
                if isinstance(event, dict) and isinstance(event.get("recorder"), dict):
                    yield event["recorder"]


if __name__ == "__main__":
    sys.exit(main())
