"""The Grafana board, the alerts and the scaling ask for metrics that the farm tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from prometheus_client.parser import text_string_to_metric_families

from farm.domain.metrics import METRICS
from farm.service.tally import Tally
from tests.unit.api.conftest import World
from tests.unit.api.test_metrics import WORKER

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
SERIES = re.compile(r"\b((?:farm|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')


def scrape_of_everything() -> str:
    """What a farm tells in which everything has happened that is counted."""
    world, counted = World(), Tally("worker")
    for metric in METRICS:
        labels = [f"a {label}" for label in metric.labels]
        if metric.buckets:
            counted.observe(metric, *labels, value=1.0)
        else:
            counted.add(metric, *labels)
    world.ledger.tally(counted.take())
    world.ledger.beat(WORKER, 60)
    return world.client().get("/metrics").text


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """Name of each sample that a farm tells -> its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(scrape_of_everything()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Where an expression stands, and the expression."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_told_with_these_labels(told: dict[str, set[str]], where: str, expression: str) -> None:
    asked = SERIES.findall(expression)
    assert asked, expression
    for name, matchers in asked:
        assert name in told, f"{where}: nobody tells {name}"
        labels = set(MATCHER.findall(matchers)) - {"job"}
        assert labels <= told[name], f"{where}: {name} has no {labels - told[name]}"


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_series_are_grouped_by_labels_that_they_have(told: dict[str, set[str]], where: str, expression: str) -> None:
    known = {label for name, _ in SERIES.findall(expression) for label in told[name]}
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        asked = {label.strip() for label in labels.split(",")}
        assert asked <= known, f"{where}: {asked - known}"


def test_all_that_is_counted_is_on_the_board(told: dict[str, set[str]]) -> None:
    asked = {name for _, expression in expressions() for name, _ in SERIES.findall(expression)}
    for metric in METRICS:
        assert {metric.name, f"{metric.name}_bucket"} & asked, metric.name


def test_the_board_is_one_that_grafana_draws() -> None:
    assert BOARD["schemaVersion"] >= 36
    assert {"uid", "title", "templating", "time", "panels"} <= BOARD.keys()
    variables = {variable["name"] for variable in BOARD["templating"]["list"]}
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            asked = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(target)))
            assert asked <= variables
        if panel["type"] != "row":
            assert panel["description"].endswith(".")


def test_every_alert_says_what_to_look_at() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"].keys() == {"summary", "description"}
