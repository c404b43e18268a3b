"""A forecast, told while it is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from farm.client.http import Http
from farm.domain.forecast import Forecast
from farm.errors import Unavailable


def planned(http: Http, body: Mapping[str, Any], on_chunk: Callable[[int], None]) -> Forecast:
    """What a job would do. Raises Unavailable where the answer breaks off."""
    with closing(http.lines("/jobs/plan", body)) as response:
        for line in response.iter_lines():
            said = json.loads(line) if line else {}
            if "chunk" in said:
                on_chunk(said["chunk"])
            elif said:
                return Forecast.model_validate(said)
    raise Unavailable("The farm stopped planning before it was done; its API's log says why. Try again.")
