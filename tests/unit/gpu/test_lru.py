from __future__ import annotations

from workers.gpu.lru import ByteLru


def test_what_was_not_used_for_longest_leaves() -> None:
    kept: ByteLru[str, int] = ByteLru(10)
    for name, size in (("a", 4), ("b", 4)):
        kept.put(name, size, size)
    assert kept.get("a") == 4
    kept.put("c", 3, 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (4, None, 3)
    assert kept.bytes == 7


def test_what_came_last_stays_however_large_it_is() -> None:
    kept: ByteLru[str, str] = ByteLru(10)
    kept.put("small", "s", 1)
    kept.put("huge", "h", 1000)
    assert (kept.get("huge"), kept.get("small"), len(kept)) == ("h", None, 1)


def test_the_same_key_counts_once() -> None:
    kept: ByteLru[str, str] = ByteLru(10)
    for _ in range(5):
        kept.put("a", "x", 4)
    assert kept.bytes == 4
    kept.clear()
    assert len(kept) == kept.bytes == 0
