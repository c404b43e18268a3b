"""`make bench`: every benchmark in a form that takes a minute or two. Figures are printed; larger sizes are options."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.bench.measures import out

SMALL = {
    "r20k": "--frames 640 --shorter 64 --workers 3 --cpu-workers 1 --sleep 0.02",
    "dispatch": "--frames 100 400 --chords 200",
    "api_latency": "--frames 400 --workers 2 --seconds 5",
    "two_users": "--long 320 --short 48 --workers 2 --sleep 0.02",
    "scaling": "--workers 1 2 --rounds 6",
}


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs_to_its_end(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"tests.bench.{name}").main
    monkeypatch.setattr(sys, "argv", [f"tests.bench.{name}", *SMALL[name].split()])
    with capsys.disabled():
        out.rule(f"{name} {SMALL[name]}")
        main()
