"""Numbered pictures among names, in the order of their numbers: all of them, or those that a pattern picks."""

import re
from collections.abc import Iterable

from farm.errors import Rejected

_NUMBER = re.compile(r"(\d+)(?!.*\d)")
_PLACE = re.compile(r"%0?(\d*)d|(#+)")


class BadPattern(Rejected):
    """A pattern that does not say where the number stands."""

    def __init__(self, pattern: str) -> None:
        super().__init__(
            f"The pattern {pattern!r} must say once where the number stands: 'shot.######.png' or 'shot.%06d.png'."
        )


class NumberTwice(Rejected):
    """Two pictures of one number."""

    def __init__(self, number: int, one: str, other: str) -> None:
        super().__init__(
            f"{one!r} and {other!r} are both frame {number}. Keep one of them, or pick one kind with a pattern such as "
            f"'shot.######.png'."
        )


def list_pictures(names: Iterable[str], pattern: str | None = None) -> list[tuple[int, str]]:
    """(number, name) of the numbered ones among `names`, ascending; `9.png` comes before `010.png`.

    Args:
        names: of files, without folders; names without a number are left out.
        pattern: `#` for each digit at least, or `%06d` as in C; numbers that need more digits than that fit too. None:
            the number is the last run of digits before the ending.
    Raises:
        BadPattern: no place for a number, or two.   NumberTwice: two names with the same number, such as `1` and `01`.
    """
    fits = _of_pattern(pattern) if pattern is not None else None
    found: dict[int, str] = {}
    for name in names:
        match = fits.fullmatch(name) if fits else _NUMBER.search(name.rpartition(".")[0] or name)
        if match is None:
            continue
        number = int(match[1])
        if number in found:
            raise NumberTwice(number, found[number], name)
        found[number] = name
    return sorted(found.items())


def _of_pattern(pattern: str) -> re.Pattern[str]:
    places = list(_PLACE.finditer(pattern))
    if len(places) != 1:
        raise BadPattern(pattern)
    place = places[0]
    width = len(place[2]) if place[2] else int(place[1] or 1)
    # As many digits, zeros in front, or more without.
    digits = rf"(\d{{{width}}}|[1-9]\d{{{width},}})"
    return re.compile(re.escape(pattern[: place.start()]) + digits + re.escape(pattern[place.end() :]))
