import numpy as np

from farm.adapters.sheets import GAP, TITLE, contact_sheet


def solid(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_beside_each_other_untouched() -> None:
    left, right = solid(10, 20, 50), solid(12, 30, 90)
    sheet = contact_sheet([[left, right]])
    assert sheet.shape == (12, 20 + GAP + 30, 3)
    assert np.array_equal(sheet[:10, :20], left)
    assert np.array_equal(sheet[:, 20 + GAP :], right)


def test_titles_stand_above_the_pictures() -> None:
    sheet = contact_sheet([[solid(10, 80, 0), solid(10, 80, 0)]], ["before", "after"])
    assert sheet.shape == (TITLE + 10, 160 + GAP, 3)
    assert sheet[:TITLE].max() > 200


def test_rows_may_have_different_lengths_and_heights() -> None:
    sheet = contact_sheet([[solid(10, 20, 10)], [solid(6, 8, 20), solid(6, 9, 30)]])
    assert sheet.shape == (10 + GAP + 6, 20 + GAP + 9, 3)
    assert (sheet[10 + GAP :, 20 + GAP :] == 30).all()


def test_wide_pictures_are_scaled_down() -> None:
    assert contact_sheet([[solid(100, 200, 5)]], max_width=50).shape == (25, 50, 3)


def test_an_empty_sheet_is_a_picture_all_the_same() -> None:
    assert contact_sheet([]).shape == (1, 1, 3)
