"""A job's attempts as a timeline, held to the rules of Chrome's trace event format."""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from typing import Any

import pytest

from farm.domain.forecast import Sample
from farm.domain.trace import BAD, DOWNLOAD, GPU, OTHER, UPLOAD, Attempt, busy, chrome, gpu_share, spans


def _detail(task: str, worker: str, started: float, download: float, gpu: float, ended: float) -> Attempt:
    took = Sample(worker=worker, device="cuda", download=(0, download), gpu=(download, download + gpu), pixel_steps=9)
    layer = "detail:face"
    return Attempt(
        task=task,
        kind="detail",
        layer=layer,
        chunk=0,
        worker=worker,
        started=started,
        ended=ended,
        outcome="ok",
        took=took,
    )


def _plain(task: str, worker: str, started: float, ended: float, outcome: str = "ok", error: str = "") -> Attempt:
    kind = task.split(".")[0]
    return Attempt(
        task=task,
        kind=kind,
        layer=kind,
        chunk=0,
        worker=worker,
        started=started,
        ended=ended,
        outcome=outcome,
        error=error,
    )


def check_chrome(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Holds a trace to the format's JSON object form; its spans.

    The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    """
    assert json.loads(json.dumps(trace, allow_nan=False)) == trace
    assert trace["displayTimeUnit"] in ("ms", "ns")
    assert isinstance(trace["traceEvents"], list)
    assert all(isinstance(value, (str, int, float)) for value in trace["otherData"].values())
    named: dict[str, set[tuple[int, int]]] = defaultdict(set)
    rows: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for event in trace["traceEvents"]:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["ph"] in ("X", "M")
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
            value = event["args"]["sort_index" if event["name"] == "thread_sort_index" else "name"]
            assert isinstance(value, int if event["name"] == "thread_sort_index" else str)
            named[event["name"]].add((event["pid"], event["tid"]))
        else:
            assert isinstance(event["cat"], str)
            assert isinstance(event["args"], dict)
            assert isinstance(event["ts"], (int, float))
            assert isinstance(event["dur"], (int, float))
            assert min(event["ts"], event["dur"]) >= 0
            rows[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    # Complete events of one thread either follow one another or lie inside each other; ours follow one another.
    for spans_of in rows.values():
        for (_, end), (start, _) in itertools.pairwise(sorted(spans_of)):
            assert end <= start
    assert set(rows) == named["thread_name"] == named["thread_sort_index"]
    assert {pid for pid, _ in rows} == {pid for pid, _ in named["process_name"]}
    return [event for event in trace["traceEvents"] if event["ph"] == "X"]


def _tracks(trace: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """(worker, track) -> names of its spans."""
    names = {(e["name"], e["pid"], e["tid"]): e["args"].get("name") for e in trace["traceEvents"] if e["ph"] == "M"}
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event in check_chrome(trace):
        worker = names["process_name", event["pid"], 0]
        found[worker, names["thread_name", event["pid"], event["tid"]]].append(event["name"])
    return found


def test_download_gpu_and_upload_of_each_worker_are_tracks_of_their_own() -> None:
    attempts = [
        _plain("plan.0", "a", 100, 101),
        _detail("detail.0.0", "a", 101, 1, 4, 108),
        _detail("detail.0.1", "a", 105.5, 0.5, 3, 110),
        _plain("detail.0.2", "b", 101, 103, "lost", "it was silent for 15 s"),
    ]
    trace = chrome("j", attempts)
    assert _tracks(trace) == {
        ("a", OTHER): ["plan.0"],
        ("a", DOWNLOAD): ["detail.0.0", "detail.0.1"],
        ("a", GPU): ["detail.0.0", "detail.0.1"],
        ("a", UPLOAD): ["detail.0.0", "detail.0.1"],
        ("b", BAD): ["detail.0.2"],
    }
    (bad,) = (event for event in check_chrome(trace) if event["args"]["outcome"] == "lost")
    assert bad["args"]["error"] == "it was silent for 15 s"
    assert (bad["ts"], bad["dur"]) == (1_000_000, 2_000_000)
    assert trace["otherData"]["gpu_busy"] == pytest.approx(7 / 10, abs=1e-4)


def test_what_overlaps_on_a_track_goes_to_a_further_one() -> None:
    trace = chrome("j", [_plain(f"ingest.{n}", "a", n, n + 2.5) for n in range(5)])
    assert {track: len(names) for (_, track), names in _tracks(trace).items()} == {
        OTHER: 2,
        f"{OTHER} 2": 2,
        f"{OTHER} 3": 1,
    }


def test_any_attempts_become_a_trace_that_holds_to_the_format() -> None:
    dice = random.Random(1)
    attempts = []
    for number in range(300):
        start = 1.7e9 + dice.random() * 30
        worker = f"w{dice.randrange(3)}"
        if dice.random() < 0.7:
            load, gpu = dice.random(), dice.random() * 3
            # A clock that runs ahead: the end that the ledger saw may lie before that of sampling.
            attempts.append(_detail(f"detail.{number}.0", worker, start, load, gpu, start + load + gpu * dice.random()))
        else:
            outcome = dice.choice(["ok", "error", "lost", "canceled"])
            attempts.append(_plain(f"paste.{number}", worker, start, start + dice.random(), outcome))
    events = check_chrome(chrome("j", attempts))
    assert len(events) == len(list(spans(attempts))) > 300


def test_a_job_without_attempts_is_an_empty_trace() -> None:
    assert check_chrome(chrome("j", [])) == []


def test_the_gpu_is_busy_while_it_samples_and_only_workers_that_sample_count() -> None:
    attempts = [
        _detail("detail.0.0", "a", 0, 1, 3, 5),
        _detail("detail.1.0", "b", 0, 1, 9, 10),
        _plain("plan.0", "c", 0, 100),
    ]
    found = busy(attempts)
    assert [(one.worker, one.gpu_s, one.span_s) for one in found] == [("a", 3, 5), ("b", 9, 10)]
    assert gpu_share(found) == pytest.approx(12 / 15)


def test_times_of_another_workers_attempt_are_not_taken_for_this_ones() -> None:
    mine = _detail("detail.0.0", "a", 0, 1, 3, 5).model_copy(update={"worker": "b"})
    assert [span.track for span in spans([mine])] == [OTHER]
