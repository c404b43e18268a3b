"""`python -m tests.shows.detectors [FOLDER]`: two people in a clip, found, told apart, and repainted, on a real farm.

They pass each other, one behind the other; one is out of sight for a while; behind a cut both are there again, as other
tracks. Where their faces are is known, so that what is found can be counted. Exits 1 where a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from farm.adapters.pictures import decode_rgb
from farm.client import Farm as Client
from farm.detail.detections import iou
from farm.domain.segment import SegEntry, SegsDocument
from tests.e2e.farm_under_test import FarmUnderTest
from tests.faces import Actor, Scene, hidden, straight
from tests.shows.stage import say, stage

FRAMES, CUT = 56, 40
"""Frames of the clip; first frame behind the cut."""
AWAY = range(31, 37)
"""Frames in which the one who stands on the left then is out of sight."""
SAME = 0.5
"""IoU from which on a box is that of a face."""
BEHIND = 0.5
"""Share of a face that is seen, below which nobody need find it."""
REPAINTED = 0.9
"""Share of a face's pixels that are others in the final frame, at least."""
QUICK = ("--guide-size", "64", "--max-size", "128", "--steps", "2", "--crop-factor", "1.5")


@dataclass
class Tally:
    """What was found, beside what is there."""

    seen: int = 0
    """Faces that can be seen, over all frames."""
    right: int = 0
    wrong: int = 0
    """Boxes in which no face is."""
    missed: int = 0
    filled: int = 0
    filled_right: int = 0

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return (self.seen - self.missed) / max(1, self.seen)


def scene() -> Scene:
    """The clip. The one in front is the second."""
    walk = straight((0, 70), (430, 60), CUT)
    other = hidden(straight((440, 80), (20, 90), CUT), AWAY.start, AWAY.stop - 1)
    after = [*straight((60, 100), (130, 90), FRAMES - CUT)], [*straight((400, 60), (380, 90), FRAMES - CUT)]
    actors = [Actor("cameraman", [*other, *after[1]], 1.1), Actor("astronaut", [*walk, *after[0]])]
    return Scene(actors, second_ground_at=CUT)


def hidden_behind(clip: Scene, frame: int) -> bool:
    """Whether the one behind can hardly be seen: their face is under the other's picture."""
    behind, before = (actor.face(frame) for actor in clip.actors)
    corner = clip.actors[1].corners[frame]
    if behind is None or before is None or corner is None:
        return False
    left, right = max(behind[0], corner[0]), min(behind[2], corner[0] + 170)
    return max(0.0, right - left) / (behind[2] - behind[0]) > 1 - BEHIND


def counted(clip: Scene, document: SegsDocument) -> tuple[Tally, dict[str, list[int]]]:
    """The tally, and for each person and scene the identities that they had, frame by frame."""
    tally, who = Tally(), dict[str, list[int]]()
    for frame in range(clip.frames):
        entries = list(document.frames.get(frame + 1, ()))
        found = [entry for entry in entries if not entry.filled]
        unseen = 0 if hidden_behind(clip, frame) else -1
        taken: set[int] = set()
        # Who is in front first: of one who is behind them, the same box is not told.
        for number, actor in reversed(list(enumerate(clip.actors))):
            face = actor.face(frame)
            if face is None:
                continue
            fits = [entry for entry in entries if id(entry) not in taken and iou(entry.bbox, face) >= SAME]
            hit = max(fits, key=lambda entry: iou(entry.bbox, face), default=None)
            if hit is not None and hit.identity is not None:
                part = "behind the cut" if frame >= CUT else "before the cut"
                who.setdefault(f"{actor.name} {part}", []).append(hit.identity)
                taken.add(id(hit))
            if number != unseen:
                tally.seen += 1
                tally.missed += hit is None or hit.filled
        tally.right += sum(id(entry) in taken for entry in found)
        tally.wrong += sum(id(entry) not in taken for entry in found)
        _filled(tally, clip, frame, [entry for entry in entries if entry.filled])
    return tally, who


def _filled(tally: Tally, clip: Scene, frame: int, entries: list[SegEntry]) -> None:
    """Boxes that were filled in are right where the one who is out of sight would be."""
    walk = straight((440, 80), (20, 90), CUT)
    for entry in entries:
        tally.filled += 1
        there = Actor("cameraman", [walk[frame]], 1.1).face(0) if frame < CUT else None
        faces = [there, *(actor.face(frame) for actor in clip.actors)]
        tally.filled_right += any(face is not None and iou(entry.bbox, face) >= SAME for face in faces)


def show_found(clip: Scene, document: SegsDocument) -> dict[str, bool]:
    """Tell what was found; the claims."""
    tally, who = counted(clip, document)
    per_frame = Counter(sum(not entry.filled for entry in entries) for entries in document.frames.values())
    say(
        f"faces found per frame: {dict(sorted(per_frame.items()))} (faces: frames)",
        f"faces that can be seen: {tally.seen}, found: {tally.seen - tally.missed} (recall {tally.recall:.3f})",
        f"boxes: {tally.right + tally.wrong}, with a face in them: {tally.right} (precision {tally.precision:.3f})",
        f"filled in: {tally.filled}, of them where the face is, or would be: {tally.filled_right}",
    )
    for name, identities in who.items():
        changes = sum(a != b for a, b in pairwise(identities))
        say(f"  {name:28} number {sorted(set(identities))} in {len(identities)} frames, {changes} changes")
    numbers = {number for identities in who.values() for number in identities}
    return {
        "every box has a face in it": tally.precision == 1,
        "19 of 20 faces that can be seen are found": tally.recall >= 0.95,
        "every person has one number in each scene": all(len(set(one)) == 1 for one in who.values()),
        "no number is given twice": len(numbers) == len(who) == 4,
        "the gap is filled": tally.filled >= len(AWAY) and tally.filled_right >= 0.9 * tally.filled,
    }


def show_frames(clip: Scene, document: SegsDocument, frames: Mapping[str, bytes]) -> dict[str, bool]:
    """Compare final frames with those of the clip; the claims."""
    least, outside = 1.0, 0
    for frame, name in enumerate(sorted(frames)):
        changed = (decode_rgb(frames[name]) != clip.picture(frame)).any(axis=2)
        meant = np.zeros_like(changed)
        for entry in document.frames.get(frame + 1, ()):
            x1, y1, x2, y2 = (round(value) for value in entry.bbox)
            least = min(least, float(changed[y1:y2, max(0, x1) : x2].mean()))
            grown = entry.dilation + 12  # feather reaches beyond the mask
            meant[max(0, y1 - grown) : y2 + grown, max(0, x1 - grown) : x2 + grown] = True
        outside += int((changed & ~meant).sum())
    say(f"final frames: {len(frames)}; of each face at least {least:.1%} is repainted; pixels elsewhere: {outside}")
    return {
        "every frame is there": len(frames) == clip.frames,
        "faces are repainted": least >= REPAINTED,
        "nothing else is": outside == 0,
    }


def one_frame(client: Client, clip: str) -> dict[str, bool]:
    """Time what a person waits who presses *find faces*."""
    times, found = [], 0
    for frame in (3, 12, 50, 12):
        begun = time.monotonic()
        found += len(client.http.post("/detect", {"uri": clip, "frame": frame})["segs"])
        times.append(time.monotonic() - begun)
    told = ", ".join(f"{seconds:.2f} s" for seconds in times)
    say(f"POST /detect of one frame: {told} (the last one was looked at before); {found} boxes in all")
    left = [job.name for job in client.jobs() if "frame" in job.name]
    return {"one frame is answered": found == 8, "no job is left of it": not left}


def play(farm: FarmUnderTest, folder: Path) -> dict[str, bool]:
    """All of it; the claims and whether they hold."""
    client = farm.api()
    farm.workers(2)
    clip = scene()
    pictures = clip.write(farm.folder / "clip")
    say(f"{clip.frames} frames of {clip.size[0]}x{clip.size[1]} px, two people, a cut at frame {CUT + 1}")
    begun = time.monotonic()
    options = ("-o", str(folder / "segs.json"), "--picture", str(folder / "found.png"))
    said = farm.command("detect", str(pictures), *options, url=farm.api_url)
    say("", "$ farm detect clip/ -o segs.json --picture found.png", said.stdout.rstrip(), said.stderr.rstrip())
    say(f"{time.monotonic() - begun:.1f} s", "")
    document = SegsDocument.model_validate(json.loads((folder / "segs.json").read_bytes()))
    claims = show_found(clip, document)
    farm.add_model("demo", _any_model(farm.folder / "model"))
    asked = ("--detect", "face", *QUICK, "--wait", "--download", str(folder / "out"))
    begun = time.monotonic()
    said = farm.command("job", "submit", str(pictures), *asked, url=farm.api_url)
    say("", "$ farm job submit clip/ --detect face --wait --download out", said.stderr.rstrip())
    say(f"{time.monotonic() - begun:.1f} s", "")
    frames = {path.name: path.read_bytes() for path in (folder / "out" / "frames").iterdir()}
    claims |= show_frames(clip, document, frames)
    own = SegsDocument.model_validate(json.loads((folder / "out" / "detect" / "face.json").read_bytes()))
    claims["the job found what the command found"] = own.frames == document.frames
    return claims | one_frame(client, client.upload(pictures).uri)


def _any_model(folder: Path) -> Path:
    """What the fake engine does not read."""
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    return folder


def main(keep: Path | None) -> int:
    """Play it; what is found is kept in a folder, if one is named."""
    with stage() as here, here.farm() as farm:
        folder = keep or here.new("found")
        folder.mkdir(parents=True, exist_ok=True)
        claims = play(farm, folder.absolute())
    say("")
    for claim, holds in claims.items():
        say(f"{'yes' if holds else 'NO '}  {claim}")
    return 0 if all(claims.values()) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where to keep what is found")
    sys.exit(main(parser.parse_args().folder))
