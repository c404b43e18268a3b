"""`python -m tests.shows.deploy_files`: what the validators say of the files in `deploy/`.

    python -m venv tools && tools/bin/pip install -r tests/shows/validators.txt
    DEPLOY_TOOLS=tools python -m tests.shows.deploy_files

Each tool is taken from there, from beside this Python, or from the PATH. One that is not on this machine is said to be
missing, with how to get it, and counts as a fault unless --missing-is-fine is given.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships no types

from tests.shows.containers import DEPLOY
from tests.shows.stage import say
from tests.unit.test_monitoring import scrape_of_everything

CHART = DEPLOY / "helm" / "detail-farm"
KUBERNETES = ("1.25", "1.33")
"""Versions that the chart is checked against: the oldest that it names, and a late one."""
GET = {"promtool": "prometheus", "systemd-analyze": "systemd", "node": "nodejs", "npm": "npm"}
"""Tools that Debian has -> the package; all others are in validators.txt."""
_CRDS = ("@kubernetes-models/keda@2.0.0", "@kubernetes-models/prometheus-operator@6.0.0")
"""npm's packages with the schemas of KEDA's and of the Prometheus operator's resources."""


class Missing(Exception):
    """A tool is not on this machine."""


def main(*options: str) -> int:
    """Print what each validator says; the number of files that one of them refuses."""
    checks: tuple[tuple[str, Callable[[Path], Iterator[bool]]], ...] = (
        ("compose.yml", compose),
        ("Helm: lint and template", helm),
        ("Helm: values that must be refused", refused),
        ("Prometheus: configuration, rules, and what rules do", prometheus),
        ("Grafana: the board", grafana),
        ("systemd units", systemd),
    )
    faults = 0
    for title, check in checks:
        say("", f"== {title}")
        with tempfile.TemporaryDirectory(prefix="farm-deploy-") as folder:
            try:
                faults += sum(not good for good in check(Path(folder)))
            except Missing as missing:
                say(f"   not checked: {missing}")
                faults += "--missing-is-fine" not in options
    say("", "all files are good" if not faults else f"{faults} FAULTS")
    return min(faults, 100)


def compose(folder: Path) -> Iterator[bool]:
    """Against the specification's own schema."""
    yield run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yml"))


def helm(folder: Path) -> Iterator[bool]:
    """Each set of values is linted, rendered, and what comes of it is held against Kubernetes' schemas."""
    for values in sorted((CHART / "ci").glob("*.yaml")):
        say(f"-- {values.name}")
        yield run("helm", "lint", "--strict", "--quiet", str(CHART), "--values", str(values))
        text = said("helm", "template", "farm", str(CHART), "--values", str(values), "--namespace", "render")
        rendered = folder / values.name
        rendered.write_text(text)
        kinds = [document["kind"] for document in yaml.safe_load_all(text) if document]
        say(f"   {len(kinds)} resources: {', '.join(f'{kinds.count(k)} {k}' for k in dict.fromkeys(kinds))}")
        for version in KUBERNETES:
            yield run("kubernetes-validate", "--strict", "-k", version, "--quiet", "--no-warn", str(rendered))
            say(f"   fits Kubernetes {version}")
        yield from crds(folder, text)


def crds(folder: Path, rendered: str) -> Iterator[bool]:
    """What is KEDA's and the Prometheus operator's, against the schemas of their makers."""
    own = [one for one in yaml.safe_load_all(rendered) if one and one["apiVersion"].startswith(("keda", "monitoring"))]
    if not own:
        return
    if not (folder / "node_modules").exists():
        said("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *_CRDS)
    (folder / "own.json").write_text(json.dumps(own))
    (folder / "check.mjs").write_text(_CHECK)
    yield run("node", str(folder / "check.mjs"), str(folder / "own.json"))


_CHECK = """
import { readFileSync } from 'node:fs';
import * as keda from '@kubernetes-models/keda/keda.sh/v1alpha1';
import * as operator from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
for (const one of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  new ({ ...keda, ...operator })[one.kind](one).validate();
  console.log(`   ${one.kind} ${one.metadata.name} fits the schema of ${one.apiVersion}`);
}
"""


def refused(folder: Path) -> Iterator[bool]:
    """The schema of the values keeps typing errors out."""
    for setting in (
        "api.replica=3",
        "cpuWorkers.scale.min=0",
        "redis.embedded.enabled=false",
        "s3.addressing=host",
        "settings.TORCH_THREADS=2",
        "gpuWorkers.gpu.scaleOn={gpu.25}",
    ):
        done = call("helm", "template", "farm", str(CHART), "--set", setting)
        say(f"   {setting}: {'refused: ' + done.stderr.strip().splitlines()[-1] if done.returncode else 'TAKEN'}")
        yield done.returncode != 0


def prometheus(folder: Path) -> Iterator[bool]:
    """Syntax, and the alerts over made-up series."""
    at = DEPLOY / "prometheus"
    yield run("promtool", "check", "config", "--syntax-only", str(at / "prometheus.yml"))
    yield run("promtool", "check", "rules", str(at / "rules.yml"))
    tests = folder / "tests.yml"
    tests.write_text((Path(__file__).with_name("alerts.yml")).read_text().replace("RULES", str(at / "rules.yml")))
    yield run("promtool", "test", "rules", str(tests))
    linted = call("promtool", "check", "metrics", told=scrape_of_everything())
    say(f"   names of metrics: {linted.stderr.strip() or 'nothing to say against them'}")
    yield linted.returncode == 0


def grafana(folder: Path) -> Iterator[bool]:
    """Each query is one that Prometheus reads; variables of Grafana's are filled in as it would."""
    board: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    filled = [query.replace("$__rate_interval", "1m").replace("$job", ".+") for query in queries]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(filled)]
    path = folder / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    say(f"   {len(board['panels'])} panels, {len(queries)} queries, schema version {board['schemaVersion']}")
    yield run("promtool", "check", "rules", str(path))
    done = call("python", "-c", _BOARD, str(DEPLOY))
    if "No module named 'grafana_foundation_sdk'" in done.stderr:
        raise Missing("grafana-foundation-sdk; tests/shows/validators.txt has it")
    say(done.stdout.rstrip() or f"   {done.stderr.strip().splitlines()[-1]}")
    yield done.returncode == 0


_BOARD = """
import json, pathlib, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
import grafana_foundation_sdk.cog.plugins as plugins
plugins.register_default_plugins()
text = (pathlib.Path(sys.argv[1]) / "grafana" / "dashboard.json").read_text()
board = Dashboard.from_json(json.loads(text))
again = json.loads(JSONEncoder(sort_keys=True).encode(board))
assert len(again["panels"]) == len(json.loads(text)["panels"])
print(f"   Grafana's own types read it: {len(again['panels'])} panels, title {again['title']!r}")
"""


def systemd(folder: Path) -> Iterator[bool]:
    """As they are, except that what they start is not installed here."""
    units = []
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        unit = folder / path.name.replace("@.", "@0.")
        unit.write_text(path.read_text().replace("/opt/farm/bin/farm", "/bin/true"))
        units.append(str(unit))
    done = call("systemd-analyze", "verify", *units)
    # It also speaks of units of the machine itself.
    about = [line for line in done.stderr.splitlines() if "farm" in line]
    say(*(f"   {line}" for line in about or [f"{len(units)} units verified"]))
    yield not about


def run(tool: str, *words: str) -> bool:
    """Run a tool, print what it says, and tell whether it is content."""
    done = call(tool, *words)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    say(*(f"   {line}" for line in lines if not line.startswith("   ")), *(line for line in lines if line[:3] == "   "))
    if done.returncode:
        say(f"   {tool} {words[0]}: REFUSED")
    return done.returncode == 0


def said(tool: str, *words: str) -> str:
    """What a tool writes, which must be content."""
    done = call(tool, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def call(tool: str, *words: str, told: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool to its end; `told` is its input. Raises Missing."""
    command = [*found(tool), *words]
    return subprocess.run(command, input=told, capture_output=True, text=True, timeout=300, check=False)


def found(tool: str) -> Sequence[str]:
    """Where a tool is."""
    own = Path(os.environ.get("DEPLOY_TOOLS", Path(sys.executable).parents[1])) / "bin"
    path = shutil.which(tool, path=os.pathsep.join([str(own), str(Path(sys.executable).parent)])) or shutil.which(tool)
    if path is None:
        source = f"Debian's package {GET[tool]}" if tool in GET else "tests/shows/validators.txt"
        raise Missing(f"{tool}; {source} has it")
    return [path]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
