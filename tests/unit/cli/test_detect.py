"""`farm detect`, and jobs that detect, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.adapters.pictures import decode
from farm.cli.detect import chosen, identities
from farm.domain.segment import SegEntry, SegsDocument
from tests.faces import Actor, Scene, hidden, straight
from tests.unit.cli.conftest import Run
from tests.unit.client.conftest import Running

QUICK = ("--guide-size", 64, "--steps", 2)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Five frames; in the third the face is hidden."""
    actor = Actor("astronaut", hidden(straight((0, 10), (60, 10), 5), 2, 2))
    return Scene([actor], (320, 240)).write(tmp_path / "faces")


@pytest.fixture
def working(running: Running) -> Iterator[None]:
    with running.working():
        yield


@pytest.mark.usefixtures("working")
def test_a_clip_becomes_a_document_a_table_and_a_picture_and_the_document_a_job(
    near: Run, faces: Path, tmp_path: Path
) -> None:
    said = near("detect", faces, "-o", "found.json", "--picture", "found.png", "--dilation", 3)
    assert said.code == 0, said.err
    assert said.out.split()[-7:-1] == ["1", "face", "5", "1", "5", "1"]
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["frames"]["3"][0]["filled"] is True
    assert document["made_by"]["dilation"] == 3
    assert decode((tmp_path / "found.png").read_bytes()).shape[2] == 3
    done = near("job", "submit", faces, "--segs", "face=found.json", *QUICK, "--wait", "--download", "out")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 5


@pytest.mark.usefixtures("working")
def test_a_job_finds_its_segments_and_its_frames_are_fetched(near: Run, faces: Path, tmp_path: Path) -> None:
    how = ("--detect", "face", "--detect-threshold", 0.4, "--detect-labels", "face,hand", *QUICK)
    said = near("job", "submit", faces, *how, "--wait", "--download", "out")
    assert said.code == 0, said.err
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 5
    assert (tmp_path / "out" / "detect" / "face.json").is_file()
    again = near("job", "submit", "--like", "last", "--set", "segments.face.detect.threshold=0.6", "--json").json()
    assert again["document"]["sources"][0]["detect"]["threshold"] == 0.6
    assert again["document"]["sources"][0]["detect"]["labels"] == ["face", "hand"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--detect-threshold", 0.4), "Add --detect face"),
        (("--detect", "face", "--detect-identities", "one"), "numbers with commas"),
        (("--detect", "face", "--no-detect-track", "--detect-every", 3), "only tracking can fill"),
        (("--detect", "nobody"), "no detector 'nobody'"),
    ],
)
def test_what_cannot_be_detected_is_told_before_anything_runs(
    near: Run, clip: Path, options: tuple[object, ...], said: str
) -> None:
    told = near("job", "submit", clip, *options)
    assert told.code != 0
    assert said in told.err
    assert near("job", "list", "--json").json() == []


@pytest.mark.usefixtures("working")
def test_nothing_found_is_said_and_no_picture_is_made(near: Run, faces: Path, tmp_path: Path) -> None:
    said = near("detect", faces, "--labels", "hand", "--picture", "found.png")
    assert said.code == 0, said.err
    assert "Nothing was found" in said.err
    assert json.loads((tmp_path / "segs.json").read_text())["frames"] == {}
    assert not (tmp_path / "found.png").exists()
    refused = near("job", "submit", faces, "--segs", "face=segs.json")
    assert "it has no entry at all" in refused.err


def test_where_nothing_can_be_written_nothing_is_begun(near: Run, faces: Path) -> None:
    said = near("detect", faces, "-o", "no/such/folder/segs.json")
    assert said.code != 0
    assert "cannot be written" in said.err
    assert near("job", "list", "--json").json() == []


def test_the_frames_that_are_shown_are_spread_over_those_with_something_in_them() -> None:
    entry = SegEntry(bbox=(0, 0, 9, 9), identity=1)
    frames: dict[int, tuple[SegEntry, ...]] = {number: ((entry,) if number % 2 else ()) for number in range(100)}
    shown = chosen(SegsDocument(header=(10, 10), frames=frames))
    assert len(shown) == 12
    assert (shown[0], shown[-1]) == (1, 99)
    assert all(number % 2 for number in shown)


def test_who_is_in_a_document_is_told_by_number_and_else_by_label() -> None:
    def document(*identity: int | None) -> SegsDocument:
        entries = [SegEntry(bbox=(0, 0, 9, 9), label="face", identity=one, confidence=0.5) for one in identity]
        return SegsDocument(header=(10, 10), frames=dict.fromkeys((3, 5), tuple(entries)))

    assert [(one.identity, one.first, one.last, one.frames) for one in identities(document(2, 1))] == [
        (1, 3, 5, 2),
        (2, 3, 5, 2),
    ]
    assert [(one.identity, one.label, one.frames) for one in identities(document(None, None))] == [(None, "face", 2)]
