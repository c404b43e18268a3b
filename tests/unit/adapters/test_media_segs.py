"""SEGS documents as detectors write them and people edit them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from farm.adapters.media_segs import BadSegs, admit_segs, read_segs
from farm.adapters.media_sequence import Limits
from farm.adapters.pictures import encode_png

LIMITS = Limits(max_bytes=1_000_000, max_pixels=1_000_000)
MASK = base64.b64encode(encode_png(np.full((6, 8), 255, np.uint8))).decode()


def _entry(identity: int | None = 1, **changes: object) -> dict[str, Any]:
    entry = {"bbox": [2.5, 1, 7, 5], "label": "face", "confidence": 0.9, "dilation": 4, **changes}
    return entry if identity is None else {**entry, "identity": identity, "filled": False}


def _document(*frames: list[dict[str, Any]], **changes: object) -> bytes:
    by_number = {str(number): entries for number, entries in enumerate(frames, 60)}
    return json.dumps({"header": [6, 8], "frames": by_number, **changes}).encode()


def test_a_document_of_boxes_alone_is_taken_and_described() -> None:
    media = admit_segs(_document([_entry()], [], [_entry(), _entry(2)], made_by={"detector": "face"}), "x", LIMITS)
    assert (media.kind, media.frames, media.first_number, media.empty) == ("segs", 3, 60, False)


def test_documents_of_before_are_read_as_before() -> None:
    document = read_segs(
        json.dumps({"header": [6, 8], "segs": [{"bbox": [0, 0, 4, 4], "crop_region": [0, 0, 8, 6]}]}).encode(), "x"
    )
    assert not document.by_identity
    assert document.segs[0].crop_region == (0, 0, 8, 6)
    by_frame = read_segs(_document([_entry(None)]), "x")
    assert not by_frame.by_identity
    assert read_segs(_document([_entry(None)], masking_mode="pivot_segs"), "x").by_identity
    assert read_segs(_document([_entry(3)]), "x").by_identity


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_document([_entry(bbox=[7, 1, 2, 5])]), r"frames\.60\.0: .*x2 must be right of x1"),
        (_document([_entry(bbox=[1, 2, 3])]), r"frames\.60\.0\.bbox\.3: Field required"),
        (_document([_entry(bbox=[1, 2, 3, "four"])]), r"frames\.60\.0\.bbox\.3"),
        (_document([_entry(bbox=[1, 2, 3, 1e300])]), r"frames\.60\.0\.bbox\.3"),
        (_document([_entry(bbox=[1, 2, 3, float("nan")])]), r"frames\.60\.0\.bbox\.3"),
        (
            _document([_entry(bbox=[20, 1, 30, 5])]),
            r"frames\.60\.0\.bbox is \(20, 1, 30, 5\), which lies outside of the 8x6 px",
        ),
        (_document([_entry(), _entry()]), "frame 60 has identity 1 more than once"),
        (_document([_entry(), _entry(None)]), "some entries have an `identity` and others have none"),
        (_document([_entry(0)]), r"frames\.60\.0\.identity: Input should be greater"),
        (_document([_entry(dilatation=3)]), r"frames\.60\.0\.dilatation: Extra inputs"),
        (_document([_entry(mask=MASK, dilation=0)]), "a `mask` needs the `crop_region`"),
        (_document([_entry(mask=MASK, crop_region=[0, 0, 8, 6])]), "`dilation` grows the filled bbox"),
        (
            _document([_entry(mask=MASK, crop_region=[0, 0, 7, 6], dilation=0)]),
            "mask is 8x6 px, its crop_region is 7x6 px",
        ),
        (_document([], []), "it has no entry at all"),
        (_document(), "it has no entry at all"),
        (_document([_entry()], masking_mode="pivot"), "masking_mode"),
        (_document([_entry()], segs=[_entry(None)]), "give either `segs`"),
        (json.dumps({"header": [6, 8], "segs": [_entry()]}).encode(), "`identity` says who is who between `frames`"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(BadSegs, match=said):
        admit_segs(data, "faces.json", LIMITS)
