"""The command line in this process, against a farm in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from farm.cli.main import main
from tests.unit.client.conftest import KEY, Running, clip, mask, running

__all__ = ["clip", "mask", "running"]


@dataclass(frozen=True)
class Said:
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Standard output as JSON."""
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture
def farm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Runs `farm` with arguments; no farm is near."""
    for name in [name for name in os.environ if name.startswith("FARM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARM_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FARM_ENGINE", "fake")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, told.out, told.err)

    yield run
    # Its log goes to a captured stream that is closed now.
    structlog.reset_defaults()


@pytest.fixture
def near(farm: Run, running: Running, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same, with a farm that answers."""
    monkeypatch.setenv("FARM_URL", running.url)
    monkeypatch.setenv("FARM_API_KEY", KEY.partition(":")[2])
    return farm
