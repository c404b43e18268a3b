"""The examples of docs/client.md, run from top to bottom on a farm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.client.conftest import KEY, Running

PAGE = Path(__file__).parents[3] / "docs" / "client.md"


def test_the_examples_run(
    running: Running,
    clip: Path,
    mask: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARM_URL", running.url)
    monkeypatch.setenv("FARM_API_KEY", KEY.partition(":")[2])
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    space: dict[str, object] = {}
    with running.working():
        for number, example in enumerate(examples):
            exec(compile(example, f"{PAGE.name}, example {number + 1}", "exec"), space)  # noqa: S102 - an example of ours
    assert len(examples) >= 8
    for folder in ("shot-010", "live"):
        assert len(list((tmp_path / "out" / folder / "frames").iterdir())) == 5
    assert "no job 'no-such-job'" in capsys.readouterr().out
