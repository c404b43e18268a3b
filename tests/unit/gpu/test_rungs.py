from __future__ import annotations

from workers.gpu.rungs import UnetRung, VaeRung


def _ladder(rows: int, texts: int, together: bool) -> list[UnetRung]:
    """All rungs below the first for a call that never fits."""
    found = []
    rung: UnetRung | None = UnetRung()
    while rung is not None:
        at_once = rows if together else min(rows, rung.rows or rows)
        rung = rung.lower(at_once, 1 if rung.texts_apart else texts, together)
        if rung is not None:
            found.append(rung)
    return found


def test_rows_are_halved_then_texts_called_apart_then_attention_cut() -> None:
    assert _ladder(10, 2, together=False) == [
        UnetRung(5),
        UnetRung(2),
        UnetRung(1),
        UnetRung(1, texts_apart=True),
        UnetRung(1, texts_apart=True, sliced=True),
    ]


def test_frames_of_a_window_stay_together() -> None:
    assert _ladder(16, 2, together=True) == [
        UnetRung(texts_apart=True),
        UnetRung(texts_apart=True, sliced=True),
    ]


def test_one_text_needs_no_parting() -> None:
    assert _ladder(1, 1, together=False) == [UnetRung(sliced=True)]


def test_pictures_are_halved_before_any_is_cut_into_tiles() -> None:
    found = []
    rung: VaeRung | None = VaeRung(5)
    while rung is not None:
        found.append(rung)
        rung = rung.lower()
    assert found == [VaeRung(5), VaeRung(2), VaeRung(1), VaeRung(1, tiles=2), VaeRung(1, tiles=4)]
