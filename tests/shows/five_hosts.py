"""`python -m tests.shows.five_hosts`: a farm of five hosts, brought up by the commands of the container files.

Redis, S3, the API and two workers, each on a host of its own (a network namespace), and a sixth on which somebody sits
who submits. Commands, variables, volumes, health checks and grace are read from compose.yml and the Dockerfiles. While
the job runs, one worker's host is taken out of service as `docker compose stop` does it. Needs root; no container
runtime takes part. What is other than in containers: the engine is the fake one, and processes run as root.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog
from prometheus_client.parser import text_string_to_metric_families

from farm.adapters.server_programs import find_redis, find_weed
from farm.domain.detailer import JobType
from tests.e2e.reference import differing
from tests.e2e.shots import MODEL, Handed, make_shot, request
from tests.shows.containers import DEPLOY, services
from tests.shows.hosts import Host, hosts
from tests.shows.power_cut import undisturbed
from tests.shows.stage import say, silent

FRAMES = 96
SLOW = "0.2"
"""Seconds per crop: the job lasts long enough to take a worker out of it."""
WAIT_S = 180.0
NAMES = ("redis", "s3", "api", "worker-a", "worker-b", "desk")
WORKERS = ("worker-a", "worker-b")
_CLI = """#!{python}
import os, sys
import redis
print(redis.Redis(password=os.environ["REDISCLI_AUTH"]).ping() and "PONG")
"""
"""Stands for the `valkey-cli ping` of a health check, where only the server is there."""


def main() -> int:
    """Print what happens; 0 if the frames are those of the reference and nothing was lost."""
    structlog.configure(processors=[silent])
    with tempfile.TemporaryDirectory(prefix="farm-hosts-") as name:
        folder = Path(name)
        key = secrets.token_hex(16)
        variables = {
            "REDIS_PASSWORD": secrets.token_hex(12),
            "AWS_ACCESS_KEY_ID": secrets.token_hex(8),
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
            "FARM_API_KEYS": f"somebody:{key}",
        }
        shot = make_shot(folder / "shot", FRAMES)
        wanted = request(Handed(str(shot.clip), {n: str(p) for n, p in shot.masks.items()}), JobType.MASK)
        document = folder / "job.json"
        document.write_text(wanted.model_dump_json(exclude_unset=True))
        plain = undisturbed(folder / "reference", shot)
        with hosts(NAMES, folder, _programs(folder)) as farm:
            begun = time.monotonic()
            _bring_up(farm, variables)
            say(f"up and well after {time.monotonic() - begun:.1f} s")
            return _work(farm, key, document, shot.model, plain)


def _bring_up(farm: Mapping[str, Host], variables: Mapping[str, str]) -> None:
    """In the order that the compose file asks for: servers, when they are well the rest."""
    found = services(variables)
    started = [farm["redis"].run(found["redis"]), farm["s3"].run(found["s3"])]
    _until("the servers are well", lambda: all(one.well() for one in started))
    started.append(farm["api"].run(found["api"], FARM_ENGINE="fake"))
    for name in WORKERS:
        for service in ("cpu-worker", "gpu-worker"):
            # No GPU here: its stand-in is as slow as one.
            changes = {"FARM_ENGINE": "fake", "FARM_DEVICE": "cpu", "FARM_FAKE_SECONDS": SLOW}
            started.append(farm[name].run(found[service], **changes))
    _until("the API and the workers are well", lambda: all(one.well() for one in started))
    for host in farm.values():
        for one in host.containers:
            say(f"  {host.space.split('-', 2)[2]:9} {host.address:13} {' '.join(one.service.command)[:78]}")


def _work(farm: Mapping[str, Host], key: str, document: Path, model: Path, plain: Mapping[str, bytes]) -> int:
    """Submit, take a worker out, and look at what came of it."""
    desk = farm["desk"]

    def ask(*words: str) -> Any:  # noqa: ANN401 - any JSON
        environment = {**os.environ, "FARM_URL": "http://api:8750", "FARM_API_KEY": key, "PATH": desk.path}
        command = desk.words(["farm", *words, "--json"])
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert done.returncode == 0, f"farm {' '.join(words)}: {done.stderr[-2000:]}"
        return json.loads(done.stdout or "null")

    ask("model", "add", MODEL, str(model))
    job = ask("job", "submit", "--job", str(document))["id"]
    begun = time.monotonic()
    _until("a quarter is done", lambda: ask("job", "get", job)["frames"]["done"] >= FRAMES // 4)
    leaving = farm[WORKERS[0]]
    at = time.monotonic()
    with ThreadPoolExecutor() as pool:
        codes = dict(pool.map(lambda one: (one.service.name, one.stop()), leaving.containers))
    done = ask("job", "get", job)["frames"]["done"]
    say(f"{WORKERS[0]} drained in {time.monotonic() - at:.1f} s at {done} of {FRAMES} frames, exit codes {codes}")
    status = ask("job", "wait", job)["status"]
    took = time.monotonic() - begun
    ended = Counter(attempt["outcome"] for attempt in ask("job", "trace", job))
    ask("job", "download", job, str(document.parent / "out"))
    made = {path.name: path.read_bytes() for path in (document.parent / "out" / "frames").iterdir()}
    wrong = differing(dict(plain), made)
    say(
        f"job {status} after {took:.1f} s; {len(made)} frames, {len(wrong)} of them other than in one process",
        f"attempts by how they ended: {dict(ended)}",
    )
    told = _metrics(desk, key)
    unknown = asked() - told
    say(f"metrics: {len(told)} names in a scrape; missing of those that board and alerts ask for: {unknown or 'none'}")
    lost = ended.keys() - {"ok", "interrupted"}
    return int(status != "completed" or bool(wrong) or any(codes.values()) or bool(lost) or bool(unknown))


def asked() -> set[str]:
    """Metrics that the board and the alerts ask for, without those that tell of a GPU's memory: here is none."""
    board = (DEPLOY / "grafana" / "dashboard.json").read_text()
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text()
    names = set(re.findall(r"\b(?:farm|process)_[a-z0-9_]+(?=[\[{)\s])", board + rules))
    return {name for name in names if not re.search("_gpu_memory_|_errors_total|_retries_|_leases_lost_", name)}


def _metrics(desk: Host, key: str) -> set[str]:
    """Names of the samples in a scrape."""
    script = (
        "import sys, urllib.request as u; "
        "sys.stdout.write(u.urlopen(u.Request('http://api:8750/metrics', headers={'X-API-Key': sys.argv[1]}))"
        ".read().decode())"
    )
    text = subprocess.run(desk.words([sys.executable, "-c", script, key]), capture_output=True, text=True, check=True)
    return {sample.name for family in text_string_to_metric_families(text.stdout) for sample in family.samples}


def _programs(folder: Path) -> str:
    """A PATH on which the programs of the images are."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(find_redis())
    (programs / "weed").symlink_to(find_weed())
    for name in ("python", "farm"):
        (programs / name).symlink_to(Path(sys.executable).parent / name)
    if shutil.which("valkey-cli") is None:
        (programs / "valkey-cli").write_text(_CLI.format(python=sys.executable))
        (programs / "valkey-cli").chmod(0o755)
    return os.pathsep.join([str(programs), "/usr/sbin", "/sbin", os.defpath])


def _until(what: str, true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain until {what}")
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
