"""A text per segment: the detailer's wildcard syntax, resolved when a chunk is planned (SPEC 5, step 1).

    [CONCAT]                     first of all: texts are added to the prompt instead of taking its place
    [ASC] [DSC]                  segments from left to right (then from top to bottom), or the other way round
    [ASC-SIZE] [DSC-SIZE]        segments by the area of their bbox
    [RND]                        texts in an order drawn by lot
    [LAB]                        texts by label: `[ALL] detailed eyes [left_eye] green [right_eye] blue`
    [SEP] [SEP:n] [SEP:R]        end of a text; the next one has the seed n, or one drawn by lot
    [SKIP] [STOP]                as a text: leave this segment out, or this one and all that follow
    {a|b|3::c}                   one of several, the last one three times as likely; may be nested

After the last text the first one comes again. Lots are drawn from the seed, so the same job always has the same texts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from farm.detail.segs import Seg
from farm.errors import Rejected

RANDOM_SEEDS = 2**50
"""Seeds that `[SEP:R]` draws from."""
LARGEST_SEED = 2**64 - 1 - 1024
"""That a text may be given; variations and cycles add to it."""
DEEPEST = 100
"""Choices inside each other; they are made one by one, for every segment of every frame."""
_MODES = ("[LAB]", "[ASC-SIZE]", "[DSC-SIZE]", "[ASC]", "[DSC]", "[RND]")
_SEP = re.compile(r"\[SEP(?::(R|\d{1,20}))?\]")
_TAG = re.compile(r"\[([^\[\]]+)\]")
_OPTIONS = re.compile(r"\{([^{}]*)\}")
_WEIGHT = re.compile(r"^\s*(\d+(?:\.\d+)?)::(.*)$", re.DOTALL)
_HUGE = re.compile(r"\d{10,}(?:\.\d+)?::")
"""A weight of ten digits or more: sums of such are no numbers any more."""
_FILE = re.compile(r"__[\w./*-]+__")
_LORA = re.compile(r"<lora:[^>]*>")
_MISPLACED = re.compile(r"\[(?:CONCAT|LAB|RND|(?:ASC|DSC)(?:-SIZE)?|SEP[^\[\]]*|SKIP|STOP)\]")


class BadWildcard(Rejected):
    """A wildcard text that the farm cannot resolve."""

    def __init__(self, segment: str, fault: str, remedy: str) -> None:
        super().__init__(f"Segment {segment!r}: `wildcard` {fault}. {remedy}")


@dataclass(frozen=True)
class Text:
    """One text and what goes with it."""

    text: str
    seed: str | None = None
    """Digits, or `R`: to be drawn."""


@dataclass(frozen=True)
class Wildcard:
    """A parsed text."""

    concat: bool
    mode: str
    """One of the words in brackets, or nothing: segments keep their order."""
    texts: tuple[Text, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    """`[LAB]` only; `ALL` stands before each."""


@dataclass(frozen=True, eq=False)
class Assigned:
    """A segment with its text."""

    seg: Seg
    prompt: tuple[str, ...] = ()
    """Texts whose conditionings are laid one behind the other; none: the detailer's prompt."""
    seed: int | None = None
    """In place of the one that its position gives it."""
    skipped: bool = False


def parse(wildcard: str) -> Wildcard:
    """What a wildcard text says; text without any of the words is one text for all segments."""
    rest = wildcard.strip()
    concat = rest.startswith("[CONCAT]")
    rest = rest.removeprefix("[CONCAT]").strip()
    mode = next((mode for mode in _MODES if rest.startswith(mode)), "")
    rest = rest.removeprefix(mode)
    if mode == "[LAB]":
        return Wildcard(concat, mode, labels=dict(_labels(rest)))
    parts = _SEP.split(rest)
    texts = (Text(parts[0].strip()), *(Text(parts[i + 1].strip(), parts[i]) for i in range(1, len(parts), 2)))
    return Wildcard(concat, mode, texts)


def check(segment: str, wildcard: str) -> None:
    """Refuses what the farm would draw as plain text although it is meant otherwise. Raises BadWildcard."""
    for pattern, what in ((_FILE, "names a file"), (_LORA, "names a LoRA")):
        if found := pattern.search(wildcard):
            raise BadWildcard(segment, f"{what}: {found[0]!r}", "Write its words out; LoRAs belong to the job's model.")
    if (depth := _depth(wildcard)) > DEEPEST:
        remedy = f"At most {DEEPEST} are read. Close the braces, or write the options side by side."
        raise BadWildcard(segment, f"has {depth} choices {{…}} inside each other", remedy)
    if _HUGE.search(wildcard):
        raise BadWildcard(segment, "gives an option a weight of ten digits or more", "Write a smaller one: {3::a|b}.")
    if seeds := [text.seed for text in parse(wildcard).texts if (text.seed or "").isdigit()]:
        largest = max(int(seed or 0) for seed in seeds)
        if largest > LARGEST_SEED:
            raise BadWildcard(segment, f"has the seed {largest}", f"Choose one of at most {LARGEST_SEED}.")
    if "$$" in wildcard:
        raise BadWildcard(segment, "chooses several options with `$$`", "Write one {a|b} for each.")
    parsed = parse(wildcard)
    if parsed.mode == "[LAB]":
        names = [name for name, _ in _labels(wildcard.partition("[LAB]")[2])]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadWildcard(segment, f"has the label {twice[0]!r} twice", "Give each label once.")
        if not names:
            raise BadWildcard(segment, "has no label behind [LAB]", "Write `[ALL] …`, or `[label] …`.")
    for text in (*(text.text for text in parsed.texts), *parsed.labels.values()):
        if text not in ("[SKIP]", "[STOP]") and (found := _MISPLACED.search(text)):
            place = "[CONCAT] and the order come first, [SKIP] and [STOP] stand alone between two [SEP], and a seed is"
            raise BadWildcard(segment, f"has {found[0]} in a text", f"{place} digits or R: [SEP:123], [SEP:R].")


def assign(
    segs: Sequence[Seg], wildcard: str, prompt: str, seed: int, takes_text: Callable[[Seg], bool]
) -> list[Assigned]:
    """The segments in the order in which they are detailed, each with its text.

    Args:
        segs: of one frame or, in `animatediff` jobs, of the clip.
        prompt: the detailer's own.
        seed: of the first segment: lots are drawn from it.
        takes_text: whether a segment is detailed at all; one that is not leaves its text to the next.
    """
    if not wildcard.strip():
        return [Assigned(seg) for seg in segs]
    parsed = parse(wildcard)
    lots = random.Random(f"wildcard {seed}")
    texts = _in_turn(parsed, lots)
    found, stopped = [], False
    for index, seg in enumerate(_ordered(segs, parsed.mode)):
        if stopped or not takes_text(seg):
            found.append(Assigned(seg, skipped=stopped))
            continue
        text, own_seed = _of_label(parsed, seg.label) if parsed.mode == "[LAB]" else next(texts)
        stopped = text == "[STOP]"
        if stopped or text == "[SKIP]":
            found.append(Assigned(seg, skipped=True))
            continue
        chosen = _chosen(text, random.Random(f"options {seed + index if own_seed is None else own_seed}"))
        texts_of = (prompt, chosen) if parsed.concat else (chosen,)
        found.append(Assigned(seg, texts_of if chosen else (), own_seed))
    return found


def _depth(text: str) -> int:
    """Opening braces that are not closed, where they are the most."""
    level = deepest = 0
    for char in text:
        level = max(0, level + {"{": 1, "}": -1}.get(char, 0))
        deepest = max(deepest, level)
    return deepest


def _labels(text: str) -> Iterator[tuple[str, str]]:
    """Label and text, in order; `[SKIP]` and `[STOP]` are no labels."""
    tags = [tag for tag in _TAG.finditer(text) if tag[1] not in ("SKIP", "STOP")]
    ends = [*(tag.start() for tag in tags[1:]), len(text)]
    for tag, end in zip(tags, ends, strict=False):
        yield tag[1].strip(), text[tag.end() : end].strip()


def _of_label(parsed: Wildcard, label: str) -> tuple[str, int | None]:
    own, common = parsed.labels.get(label, ""), parsed.labels.get("ALL", "")
    return (own, None) if own in ("[SKIP]", "[STOP]") else (f"{common} {own}".strip(), None)


def _in_turn(parsed: Wildcard, lots: random.Random) -> Iterator[tuple[str, int | None]]:
    """The texts, again and again, with their seeds; by lot, every round is drawn anew."""
    seeds = [_seed(text, lots) for text in parsed.texts]
    order = list(range(len(parsed.texts)))
    while True:
        if parsed.mode == "[RND]":
            lots.shuffle(order)
        yield from ((parsed.texts[i].text, seeds[i]) for i in order)


def _seed(text: Text, lots: random.Random) -> int | None:
    if text.seed is None:
        return None
    return lots.randrange(RANDOM_SEEDS) if text.seed == "R" else int(text.seed)


def _ordered(segs: Sequence[Seg], mode: str) -> list[Seg]:
    descending = mode.startswith("[DSC")
    if mode in ("[ASC-SIZE]", "[DSC-SIZE]"):
        return sorted(segs, key=lambda seg: seg.bbox_size[0] * seg.bbox_size[1], reverse=descending)
    if mode in ("[ASC]", "[DSC]"):
        return sorted(segs, key=lambda seg: (seg.bbox[0], seg.bbox[1]), reverse=descending)
    return list(segs)


def _chosen(text: str, lots: random.Random) -> str:
    """The text with one of each `{a|b}` chosen, from the inside out."""
    while found := _OPTIONS.search(text):
        options, weights = [], []
        for option in found[1].split("|"):
            weighted = _WEIGHT.match(option)
            options.append(weighted[2] if weighted else option)
            weights.append(float(weighted[1]) if weighted else 1.0)
        choice = lots.choices(options, weights if any(weights) else None)[0]
        text = text[: found.start()] + choice + text[found.end() :]
    return text.strip()
