"""`make demo`, shorter and with the engine that needs no model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demo_leaves_what_it_promises_and_stops_what_it_started(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FARM_", "AWS_"))}
    out = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-m", "demo", "--frames", "2", "--out", str(out)],
        cwd=REPO,
        # An address that would be wrong: the demo's farm is its own.
        env={
            **kept,
            "FARM_ENGINE": "fake",
            "FARM_REDIS_URL": "redis://127.0.0.1:1/0",
            "FARM_URL": "http://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads((out / "job.json").read_text())["status"] == "completed"
    for folder in ("frames", "frames_mask"):
        assert [path.name for path in sorted((out / folder).iterdir())] == ["000060.png", "000061.png"]
    assert (out / "before_after.mp4").stat().st_size > 10_000
    assert (out / "contact_sheet.png").stat().st_size > 10_000
    assert ended.stdout.count("where nothing is painted: 0 of") == 2
    assert not (out / "farm").exists()
