"""The command line as people and scripts use it: words, tables, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.conftest import KEY, Running
from tests.unit.domain.test_trace import check_chrome

QUICK = ("--guide-size", 64, "--steps", 2)


@pytest.fixture
def done(near: Run, running: Running, clip: Path, mask: Path) -> str:
    """Id of a job that has ended."""
    job = near("job", "submit", clip, "--mask", mask, *QUICK)
    assert job.code == 0, job.err
    running.work()
    return job.out.strip()


def test_a_clip_and_a_mask_become_a_job_that_is_waited_for_and_fetched(
    near: Run, running: Running, clip: Path, mask: Path, tmp_path: Path
) -> None:
    with running.working():
        said = near("job", "submit", clip, "--mask", mask, "--prompt", "sharp", *QUICK, "--wait", "--download", "out")
    assert said.code == 0, said.err
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 5
    assert "completed" in said.err


def test_the_id_alone_is_on_standard_output(near: Run, clip: Path, mask: Path) -> None:
    said = near("job", "submit", clip, "--mask", mask)
    assert said.code == 0
    assert len(said.out.split()) == 1
    assert said.out.strip() in said.err


def test_a_dry_run_says_what_would_be_done_and_submits_nothing(near: Run, clip: Path, mask: Path) -> None:
    said = near("job", "submit", clip, "--mask", mask, "--frames", "9-10", "--dry-run")
    assert said.code == 0
    assert "Nothing was submitted" in said.err
    checked = near("job", "submit", clip, "--mask", mask, "--denoise", 0.3, "--dry-run", "--json").json()
    assert checked["document"]["sources"][0]["detailer"]["denoise"] == 0.3
    assert near("job", "list", "--json").json() == []


def test_a_document_is_completed_by_options_and_set_wins(near: Run, clip: Path, mask: Path, tmp_path: Path) -> None:
    document = {
        "input": {"uri": clip.name},
        "segments": [{"name": "face", "mask": mask.name, "steps": 7}],
        "detailer": {"cfg": 2, "steps": 5},
    }
    (tmp_path / "job.json").write_text(json.dumps(document))
    said = near(
        "job", "submit", "--job", "job.json", "--cfg", 3, "--set", "segments.face.denoise=0.2", "--dry-run", "--json"
    )
    detailer = said.json()["document"]["sources"][0]["detailer"]
    assert (detailer["steps"], detailer["cfg"], detailer["denoise"]) == (7, 3, 0.2)


def test_every_look_at_a_job_has_a_table_and_json(near: Run, done: str) -> None:
    for command in (["list"], ["get", done], ["tasks", done], ["frames", done], ["frames", done, "9"]):
        table, document = near("job", *command), near("job", *command, "--json")
        assert (table.code, document.code) == (0, 0)
        document.json()
    assert done in near("job", "list").out
    assert "completed" in near("job", "get", "last").out
    assert "shot.0009.png" in near("job", "frames", done).out


def test_waiting_for_a_job_ends_with_its_code(near: Run, clip: Path, mask: Path, done: str) -> None:
    assert near("job", "wait", done).code == 0
    other = near("job", "submit", clip, "--mask", mask).out.strip()
    assert near("job", "wait", other, "--timeout", 0.1).code == 3
    assert near("job", "cancel", other, "--reason", "a test").code == 0
    assert near("job", "watch", other).code == 2
    assert near("job", "wait", other, "--json").json()["status"] == "canceled"


def test_a_failed_task_is_told_with_its_reason(near: Run, running: Running, clip: Path, mask: Path) -> None:
    (clip / "shot.0010.png").write_bytes((clip / "shot.0010.png").read_bytes()[:100])
    job = near("job", "submit", clip, "--mask", mask, *QUICK, "--max-attempts", 1).out.strip()
    running.work()
    said = near("job", "wait", job)
    assert said.code == 1
    assert "Frame 10" in said.err
    assert f"farm job retry {job}" in said.err


def test_decisions_say_how_many_tasks_they_touch(near: Run, clip: Path, mask: Path) -> None:
    job = near("job", "submit", clip, "--mask", mask).out.strip()
    for command in ("pause", "resume", "cancel", "retry", "recover"):
        assert "tasks are affected" in near("job", command, job).err
    assert near("job", "retry", job, "--state", "failed", "--layer", "detail:face", "--json").json()["affected"] == 0
    assert near("job", "recover", "--all", "--json").json()["jobs"] == [job]
    assert near("job", "recover").code == 64


def test_models_are_added_and_listed(near: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_index.json").write_text('{"a": 1}')
    assert len(near("model", "add", "mine", "mine").out.strip()) == 64
    assert "mine" in near("model", "list").out
    assert [model["name"] for model in near("model", "list", "--json").json()] == ["demo", "mine"]
    assert near("model", "add", "none", "nothing").code == 65


def test_a_folder_as_model_is_handed_in_with_the_job(near: Run, clip: Path, mask: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_index.json").write_text('{"a": 2}')
    said = near("job", "submit", clip, "--mask", mask, "--model", "./mine", "--dry-run", "--json")
    assert said.json()["document"]["model"]["name"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["job", "submit", "nothing.mp4", "--mask", "nothing.png"], 65, "There is no file or folder 'nothing.mp4'"),
        (["job", "submit", "clip"], 65, "--mask PICTURE"),
        (["job", "submit", "clip", "--mask", "face.png", "--frames", "1-3"], 65, "Choose a range inside"),
        (["job", "submit", "clip", "--mask", "face.png", "--sampler-name", "eular"], 65, "There is no sampler 'eular'"),
        (["job", "submit", "clip", "--mask", "face.png", "--model", "none"], 65, "There is no model 'none'"),
        (["job", "submit", "clip", "--mask", "face.png", "--model", "./clip"], 65, "model_index.json"),
        (["job", "submit", "clip", "--mask", "face.png", "--set", "steps=0"], 65, "`detailer.steps`"),
        (["job", "submit", "clip", "--mask", "face.png", "--set", "stepz=1"], 65, "there is no 'stepz'"),
        (["job", "submit", "clip", "--mask", "face.png", "--steps", "many"], 64, "--steps"),
        (["job", "submit", "--job", "none.json"], 65, "cannot be read"),
        (["job", "get", "none"], 65, "no job"),
        (["job", "tidy"], 64, "No such command"),
        (["doctor", "--only", "weather"], 64, "there is no check 'weather'"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_paragraph(
    near: Run, clip: Path, mask: Path, arguments: list[str], code: int, words: str
) -> None:
    said = near(*arguments)
    assert said.code == code
    assert words in said.err
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_farm_that_does_not_answer_is_told_with_what_to_do(farm: Run) -> None:
    said = farm("job", "list")
    assert said.code == 69
    assert "farm up" in said.err


def test_the_farm_of_the_folder_is_found_without_a_variable(
    near: Run, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {
        "url": running.url,
        "pid": 1,
        "environment": {"FARM_URL": running.url, "FARM_API_KEY": KEY.partition(":")[2]},
    }
    monkeypatch.delenv("FARM_URL")
    monkeypatch.delenv("FARM_API_KEY")
    (tmp_path / ".farm").mkdir()
    (tmp_path / ".farm" / "farm.json").write_text(json.dumps(place))
    assert near("model", "list").code == 0


def test_the_doctor_says_what_to_do_about_each_failure(farm: Run, tmp_path: Path) -> None:
    said = farm("doctor", "--json")
    found = {each["check"]: each for each in said.json()}
    assert said.code == 1
    assert found["redis"]["verdict"] == "bad"
    assert "FARM_REDIS_URL" in found["redis"]["found"]
    assert "farm up" in found["api"]["found"]
    assert found["torch"]["verdict"] == "note"


def test_the_doctor_writes_reads_and_deletes_in_the_store(
    near: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_STORE", f"file://{tmp_path}/store")
    said = near("doctor", "--only", "store", "--only", "api", "--only", "model", "--only", "disk")
    assert said.code == 0, said.out
    assert "written, read and deleted" in said.out
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_nobody_works_on_a_farm_without_workers(near: Run) -> None:
    assert near("workers", "--json").json() == []
    assert "farm worker" in near("workers").err


def test_a_job_is_rendered_in_this_process_with_the_same_options(
    farm: Run, clip: Path, mask: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model_index.json").write_text("{}")
    said = farm(
        "render", clip, "--mask", mask, "--model", "./mine", "--frames", "9-10", *QUICK, "--out", "made", "--json"
    )
    assert said.code == 0, said.err
    assert said.json()["job"]["frames"] == {"total": 2, "done": 2, "contiguous_done": 2}
    assert sorted(path.name for path in (tmp_path / "made" / "frames").iterdir()) == ["shot.0009.png", "shot.0010.png"]


def test_help_and_version_need_no_farm(farm: Run) -> None:
    assert "farm up" in farm("--help").out
    assert "--denoise" in farm("job", "submit", "--help").out
    assert "farm job submit" in farm("job", "submit", "--help").out
    assert farm("version", "--json").json()["detail-farm"]


def test_a_job_like_the_last_one_differs_in_what_was_typed(near: Run, done: str, clip: Path, mask: Path) -> None:
    typed = ("--like", "last", "--mask", f"{mask.stem}={mask}", "--denoise", 0.3, "--set", "priority=80")
    whole = near("job", "submit", clip, *typed, "--dry-run", "--json").json()["document"]
    assert whole["sources"][0]["detailer"]["denoise"] == 0.3
    assert (whole["priority"], whole["ranges"]) == (80, [])
    part = near("job", "submit", "--like", done, "--set", "prompt=a smile", "--frames", "9-10", "--dry-run", "--json")
    assert [r["source"]["detailer"]["prompt"] for r in part.json()["document"]["ranges"]] == ["a smile"]
    refused = near("job", "submit", "--like", done, "--set", "segments.face.promt=x", "--dry-run")
    assert refused.code == 65
    assert "near it are: prompt" in refused.err


def test_a_plan_tells_what_would_run_and_makes_no_job(near: Run, done: str, clip: Path, mask: Path) -> None:
    known = near("job", "plan", clip, "--mask", mask, *QUICK)
    assert known.code == 0, known.err
    rows = {line.split()[0]: line.split()[1:] for line in known.out.splitlines() if line}
    assert rows["detail:face"] == ["0", "1", "0", "5"]
    assert rows["ingest"] == ["0", "2"]
    assert "GPU time: 0 s" in known.out
    changed = near("job", "plan", "--like", done, "--set", "prompt=a smile", "--frames", "9-10", "--json").json()
    assert changed["crops"] == {"face": {"run": 2, "cached": 5}}
    assert changed["gpu"]["seconds"] > 0
    assert [job["id"] for job in near("job", "list", "--json").json()] == [done]


def test_a_trace_tells_who_did_what_and_is_a_timeline_for_perfetto(near: Run, done: str) -> None:
    told = near("job", "trace", done)
    assert "detail:face" in told.out
    assert "GPU busy" in told.out
    assert "Every attempt ended well" in told.err
    chunk = near("job", "trace", "last", "--chunk", 0)
    assert all(task in chunk.out for task in ("plan.0", "detail.0.0", "paste.0"))
    drawn = near("job", "trace", done, "--format", "chrome")
    assert check_chrome(drawn.json())
    names = {event["args"].get("name") for event in drawn.json()["traceEvents"]}
    assert {"one", "GPU", "download", "upload", "other tasks"} <= names
    assert "GPU busy: " in drawn.err
    assert near("job", "trace", "nobody").code == 65


def test_a_job_is_removed_once_it_has_ended(near: Run, done: str, clip: Path, mask: Path) -> None:
    running = near("job", "submit", clip, "--mask", mask, "--prompt", "more").out.strip()
    refused = near("job", "delete", running, "--yes")
    assert refused.code == 65
    assert "Cancel it first" in refused.err
    assert near("job", "delete", done, "--yes", "--json").json() == {"deleted": done}
    assert near("job", "get", done).code == 65
    assert near("job", "delete", done, "--yes").code == 65


def test_an_age_is_a_number_and_a_unit(farm: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARM_REDIS_URL", "redis://127.0.0.1:9")
    monkeypatch.setenv("FARM_STORE", f"file://{tmp_path}/store")
    wrong = farm("gc", "--older-than", "a month")
    assert wrong.code == 64
    assert "30d" in wrong.err
    nothing = farm("gc", "--dry-run", "--older-than", "30d", "--json")
    assert nothing.code == 0, nothing.err
    assert nothing.json()["objects"] == {}
