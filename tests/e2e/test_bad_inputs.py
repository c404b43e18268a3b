"""Each bad input is refused at the door of a real API: what was seen, what is needed, what to change."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.bad_inputs import Mistakes
from tests.e2e.farm_under_test import FarmUnderTest
from tests.e2e.shots import Shot, hand_in


def test_each_mistake_is_answered_with_what_was_seen_and_what_to_change(
    farm: FarmUnderTest, shot: Shot, tmp_path: Path
) -> None:
    handed = hand_in(shot, farm)
    client = farm.api()
    with Mistakes(client.http.url, handed, tmp_path) as mistakes:
        answers = list(mistakes.all())
    wrong = [
        answer
        for answer in answers
        if answer.status not in {413, 422} or not all(word in answer.detail for word in answer.words)
    ]
    assert not wrong
    assert farm.farm.jobs() == ()
    assert farm.names("jobs/") == set()
