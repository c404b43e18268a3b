"""What is said in the documentation and in `deploy/` exists: commands, options, variables, addresses, files."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]  # it ships no types

from docs.tables import PAGES
from farm.cli.main import app
from farm.domain.job import JobRequest
from farm.settings import Settings
from tests.unit.api.conftest import World
from workers.leaving import LAST_STEP_S

ROOT = Path(__file__).resolve().parents[2]
PAGE_FILES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
    *sorted((ROOT / "assets" / "demo").glob("*.md")),
]
DEPLOYED = [path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()]
TOLD = sorted({*PAGE_FILES, *DEPLOYED, ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "constraints.txt"})
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())
COMMANDS = typer.main.get_command(app)

_FENCED = re.compile(r"```(\w*)\n(.*?)```", re.S)
_INLINE = re.compile(r"`([^`\n]+)`")
_FARM = re.compile(r"(?:^|[;&|(]|bin/)\s*(?:[A-Z_]+=\S+\s+)*farm +(?=[a-z-])([^\n]*)")
_END = re.compile(r"\s+[|&;#>]|\s+\(|`|$", re.M)
_VARIABLE = re.compile(r"\bFARM_([A-Z0-9_]+)(\*|…)?")
_ADDRESS = re.compile(r"(?:\$FARM_URL|127\.0\.0\.1:8750|POST|GET)\s?(/[^\s\"'?|)`]*)")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code(path: Path) -> Iterator[str]:
    """The parts of a file that are meant for a shell, one command or phrase each, without comments."""
    text = path.read_text().replace("\\\n", " ")
    if path.suffix != ".md":
        yield from text.splitlines()
        return
    for language, block in _FENCED.findall(text):
        if language == "sh":
            yield from (re.sub(r"(^|\s)#.*", "", line) for line in block.splitlines())
    yield from _INLINE.findall(_FENCED.sub("", text))


def farm_commands(line: str) -> Iterator[list[str]]:
    """The words behind each `farm` of a line, up to where the shell would end the command."""
    for found in _FARM.finditer(line):
        text = found[1]
        end = _END.search(text)
        yield shlex.split(text[: end.start()] if end else text, comments=True)


@cache
def api_addresses() -> list[re.Pattern[str]]:
    """The API's own description of what it answers; `{path}` may hold slashes."""
    paths = [each.replace("{path}", ".+") for each in World().app.openapi()["paths"]]
    return [re.compile(re.sub(r"\{\w+\}", "[^/]+", each)) for each in paths]


def check_command(words: list[str], where: str) -> None:
    """Walks down the command line's tree; fails for a verb or an option that is not there."""
    command: Any = COMMANDS
    for word in words:
        if not hasattr(command, "commands"):
            break
        if word.startswith("-"):
            break
        assert word in command.commands, f"{where}: there is no `farm {' '.join(words)}`"
        command = command.commands[word]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        option = word.partition("=")[0]
        assert not option.startswith("--") or option in {*known, "--help"}, f"{where}: no {option} in {words}"


@pytest.mark.parametrize("path", [*PAGE_FILES, *UNITS], ids=name)
def test_every_farm_command_that_is_named_exists_with_its_options(path: Path) -> None:
    for line in code(path):
        for words in farm_commands(line):
            check_command(words, f"{name(path)}: {line.strip()}")


def test_containers_run_commands_that_exist() -> None:
    images = [path for path in DEPLOYED if path.name.startswith("Dockerfile") and path.suffix != ".dockerignore"]
    defaults = [json.loads(line[4:]) for path in images for line in path.read_text().splitlines() if line[:4] == "CMD "]
    services = [service["command"] for service in COMPOSE["services"].values() if "build" in service]
    assert len(defaults) == len(images) == 2
    for command in [*defaults, *services]:
        check_command(command, "a container")


@pytest.mark.parametrize("path", TOLD, ids=name)
def test_every_farm_variable_that_is_named_is_a_setting(path: Path) -> None:
    known = {field.upper() for field in Settings.model_fields}
    for variable, star in _VARIABLE.findall(path.read_text()):
        exists = any(field.startswith(variable) for field in known) if star else variable in known
        assert exists, f"{name(path)}: FARM_{variable}{star}"


@pytest.mark.parametrize("path", PAGE_FILES, ids=name)
def test_every_address_of_the_api_that_is_named_is_answered(path: Path) -> None:
    known = api_addresses()
    for text in code(path):
        for address in _ADDRESS.findall(text):
            if address not in ("/", "/openapi.json", "/jobs"):
                assert any(route.fullmatch(address) for route in known), f"{name(path)}: {address}"


@pytest.mark.parametrize("path", PAGE_FILES, ids=name)
def test_every_file_that_a_page_links_to_is_there(path: Path) -> None:
    for target in _LINK.findall(path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), f"{name(path)}: {target}"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_tables_of_parameters_and_settings_are_those_of_the_code(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run `python -m docs.tables`"


def test_the_examples_of_jobs_are_jobs() -> None:
    readme = re.search(r"-d '(\{.*?\})'\n", (ROOT / "README.md").read_text(), re.S)
    assert readme is not None
    JobRequest.model_validate_json(re.sub(r"'\$\w+'", "upload:ab", readme[1]))


def test_the_readme_and_the_architecture_stay_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) < 200


@pytest.mark.parametrize("path", TOLD, ids=name)
def test_no_file_names_places_of_one_machine_or_a_registry(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(?<![\w.~-])/(home|Users|root|work|mnt|tmp)/", text)
    assert not re.search(r"(index-url|INDEX_URL|find-links)", text)
    images = re.findall(r"^(?:FROM |ARG \w+=| +image: )(\S+)", text, re.M)
    for image in images:
        first, slash, _ = image.rpartition(":-")[2].partition("/")
        assert not slash or not re.search(r"[.:]", first), f"{name(path)}: {image}"


def test_what_compose_starts_is_told_everything_that_it_needs() -> None:
    for service in (each for each in COMPOSE["services"].values() if "build" in each):
        assert {"FARM_REDIS_URL", "FARM_S3_ENDPOINT", "FARM_S3_BUCKET", "AWS_ACCESS_KEY_ID"} <= set(
            service["environment"]
        )
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "deploy" / "compose.yml").read_text()))
    offered = set(re.findall(r"^(\w+)=", (ROOT / "deploy" / "env.example").read_text(), re.M))
    assert asked == offered


def test_a_worker_has_more_time_to_end_than_it_takes() -> None:
    """Its grace, then ten seconds for a sampler's last step: after that its keeper may kill it."""
    own = float(Settings.model_fields["grace_s"].default)
    kept: dict[str, tuple[float, float]] = {}
    for unit in (path for path in UNITS if "worker" in path.name):
        text = unit.read_text()
        grace = re.search(r"FARM_GRACE_S=(\d+)", text)
        kept[unit.name] = (float(grace[1]) if grace else own, float(re.findall(r"TimeoutStopSec=(\d+)", text)[0]))
    for name in ("cpu-worker", "gpu-worker"):
        service = COMPOSE["services"][name]
        grace = re.search(r"\d+", service["environment"].get("FARM_GRACE_S", str(own)).partition(":-")[2] or str(own))
        assert grace is not None
        kept[name] = (float(grace[0]), 60 * float(service["stop_grace_period"].removesuffix("m")))
    chart = (ROOT / "deploy" / "helm" / "detail-farm" / "templates" / "_helpers.tpl").read_text()
    more = re.search(r"terminationGracePeriodSeconds: \{\{ add \$worker.graceSeconds (\d+)", chart)
    assert more is not None
    kept["the chart"] = (0, float(more[1]))
    for name, (grace_s, killed_after_s) in kept.items():
        assert killed_after_s >= grace_s + LAST_STEP_S + 10, name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        # What it starts is not installed here.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.M)
        (tmp_path / path.name.replace("@", "@0")).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    said = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert not [line for line in said.stderr.splitlines() if "farm" in line]
