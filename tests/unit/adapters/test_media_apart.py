"""Videos and SEGS documents of strangers are looked at in a child, which may take so much and no more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from farm.adapters.media_apart import LookFailed, look, look_apart
from farm.adapters.media_sequence import Limits
from farm.adapters.pictures import PictureTooLarge
from farm.adapters.room import Room
from farm.adapters.video_index import probe
from farm.errors import Rejected, TooLarge
from tests.e2e.hostile_videos import huge_frame, mp4
from tests.unit.adapters.clips import make_clip, pictures

SMALL = Limits(max_bytes=1 << 30, max_pixels=1_000_000)


def test_a_child_sees_what_this_process_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mp4", list(pictures(5)))
    # Nothing of the farm's keys is told to it.
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert look_apart("video", path, "clip.mp4", SMALL) == look("video", path, "clip.mp4", SMALL)


@pytest.mark.parametrize("name", ["av.py", "json.py"])
def test_a_file_called_as_a_module_is_never_run(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / "clip.mp4", list(pictures(5))).rename(tmp_path / name)
    assert look_apart("video", path, name, SMALL).frames == 5


def test_a_file_that_asks_for_gigabytes_is_refused_for_it(tmp_path: Path) -> None:
    path = tmp_path / "frames.mp4"
    path.write_bytes(mp4(80_000_000))
    with pytest.raises(Rejected, match=r"'frames\.mp4'|frames\.mp4 cannot be used"):
        look_apart("video", path, "frames.mp4", SMALL)


def test_a_look_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", list(pictures(5)))
    with pytest.raises(LookFailed, match=r"takes longer than 0\.01 s \(FARM_UPLOAD_LOOK_S\)"):
        look_apart("video", path, "clip.mp4", SMALL._replace(look_s=0.01))


def test_a_child_tells_why_it_refuses_a_file(tmp_path: Path) -> None:
    path = tmp_path / "segs.json"
    path.write_bytes(b'{"header":[4000,4000],"segs":[{"bbox":[0,0,1,1],"crop_region":[0,0,1,1]}]}')
    with pytest.raises(TooLarge, match="is for 4000x4000 px pictures"):
        look_apart("segs", path, "segs.json", SMALL)


def test_a_frame_over_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.mov"
    data = huge_frame(tmp_path, 1200)
    path.write_bytes(data[:-2000] + bytes(1000) + data[-1000:])
    with pytest.raises(PictureTooLarge, match="1200x1200"):
        probe(path, max_pixels=1_000_000)


def test_who_finds_too_little_room_waits_and_what_is_larger_than_it_gets_all_of_it() -> None:
    room, order = Room(10), list[str]()

    def other() -> None:
        with room.taken(50):
            order.append("other")

    waiting = threading.Thread(target=other)
    with room.taken(4), room.taken(6):
        waiting.start()
        order.append("first")
    waiting.join()
    assert order == ["first", "other"]
