from __future__ import annotations

import hashlib

import numpy as np
import pytest

from farm.detail.detections import iou
from farm.domain.detection import FACE
from tests.faces import Actor, Scene
from workers.detectors.centerface import WEIGHTS, CenterFace


@pytest.fixture(scope="module")
def net() -> CenterFace:
    return CenterFace()


def test_the_weights_are_those_that_keys_speak_of() -> None:
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == FACE.hash
    assert "MIT" in WEIGHTS.with_suffix(".license").read_text()


@pytest.mark.parametrize("size", [(320, 200), (500, 700), (1500, 400)])
def test_faces_are_found_where_they_are_in_pictures_of_any_shape(net: CenterFace, size: tuple[int, int]) -> None:
    scene = Scene([Actor("astronaut", [(size[0] - 175, 0)]), Actor("cameraman", [(0, 5)])], size)
    found = sorted(net.find(scene.picture(0), 0.5), key=lambda one: one.bbox)
    truth = [scene.actors[1].face(0), scene.actors[0].face(0)]
    assert len(found) == 2
    for one, face in zip(found, truth, strict=True):
        assert face is not None
        assert iou(one.bbox, face) > 0.6
        assert one.label == "face"
        assert 0.5 <= one.confidence <= 1
        assert one.look is not None


def test_where_nobody_is_nobody_is_found(net: CenterFace) -> None:
    rng = np.random.default_rng(0)
    assert net.find(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), 0.5) == []
    assert net.find(Scene([Actor("astronaut", [None])]).picture(0), 0.5) == []
    assert net.find(np.zeros((2, 3, 3), dtype=np.uint8), 0.5) == []


def test_the_same_picture_gives_the_same_answer(net: CenterFace) -> None:
    picture = Scene([Actor("astronaut", [(40, 30)])]).picture(0)
    first, again = net.find(picture, 0.3), net.find(picture, 0.3)
    assert [(one.bbox, one.confidence) for one in first] == [(one.bbox, one.confidence) for one in again]
