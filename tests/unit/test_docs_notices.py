"""The page about notices: its example checks what the farm signs, and its table has every kind."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from farm.domain.events import KINDS, family
from farm.domain.notices import signature

PAGE = (Path(__file__).parents[2] / "docs" / "notices.md").read_text()
SECRET, BODY = "a secret of the pipeline", b'{"id": "1-0"}'


@pytest.fixture(scope="module")
def example() -> Any:  # noqa: ANN401 - a function of the page
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, "docs/notices.md", "exec"), found)  # noqa: S102 - an example of ours
    return found["is_from_the_farm"]


def test_the_example_of_the_page_knows_what_is_from_the_farm(example: Any) -> None:  # noqa: ANN401 - as above
    header = signature(SECRET, int(time.time()), BODY)
    assert example(SECRET, header, BODY)
    assert not example("another secret", header, BODY)
    assert not example(SECRET, header, BODY + b" ")
    assert not example(SECRET, signature(SECRET, int(time.time()) - 3600, BODY), BODY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_on_the_page(kind: str) -> None:
    told = re.findall(r"`([a-z]*\.[a-z]+)`", PAGE)
    assert kind in told or (family(kind) == "job" and f".{kind.partition('.')[2]}" in told)
