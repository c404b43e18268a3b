import pytest

from farm.adapters.numbered import BadPattern, NumberTwice, list_pictures


def test_numbers_count_as_numbers_whatever_their_padding() -> None:
    assert list_pictures(["10.png", "009.png", "0008.png"]) == [(8, "0008.png"), (9, "009.png"), (10, "10.png")]


def test_the_number_is_the_last_run_of_digits_before_the_ending() -> None:
    assert list_pictures(["shot_010.0042.mp4", "shot_010.0007.png"]) == [
        (7, "shot_010.0007.png"),
        (42, "shot_010.0042.mp4"),
    ]


def test_names_without_a_number_are_left_out() -> None:
    assert list_pictures(["readme.txt", "0001.png", ".DS_Store"]) == [(1, "0001.png")]


def test_two_pictures_of_one_number_are_rejected_with_their_names() -> None:
    with pytest.raises(NumberTwice, match=r"'1\.png' and '01\.png' are both frame 1"):
        list_pictures(["1.png", "01.png"])


@pytest.mark.parametrize("pattern", ["shot.####.png", "shot.%04d.png"])
def test_a_pattern_picks_one_sequence_out_of_several(pattern: str) -> None:
    names = ["shot.0001.png", "shot.0002.exr", "mask.0001.png", "shot.12345.png", "shot.02345.png", "shot.3.png"]
    assert list_pictures(names, pattern) == [(1, "shot.0001.png"), (12345, "shot.12345.png")]


def test_a_pattern_is_no_regular_expression() -> None:
    assert list_pictures(["a.b1.png", "axb2.png"], "a.b%d.png") == [(1, "a.b1.png")]


@pytest.mark.parametrize("pattern", ["shot.png", "##_##.png", "%d_###.png"])
def test_a_pattern_has_one_place_for_the_number(pattern: str) -> None:
    with pytest.raises(BadPattern, match="must say once"):
        list_pictures([], pattern)
