"""Whether a new model beats the one in use: the rule, and the figures side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

from demo.training.evaluation import FlickerRow, Measured, Row, same_noise_name, still_name

THROUGH_VAE = "sharp original through the VAE"
TOLERANCE = {"psnr": 0.05, "ssim": 0.001, "gmsd": 0.001, "hf": 0.0, "w1": 0.0, "foreign": 0.02}
"""How much worse a figure may be and still count as equal; for hf and W1 nothing."""


@dataclass(frozen=True)
class Point:
    """One comparison."""

    row: str
    figure: str
    new: float
    old: float
    holds: bool


def _nearer(new: float, old: float) -> bool:
    """Whether a ratio to the original is at least as near to 1."""
    return abs(new - 1) <= abs(old - 1) + TOLERANCE["hf"]


RULES: dict[str, tuple[Callable[[Row], float], Callable[[float, float], bool]]] = {
    "PSNR": (lambda row: row.figures.psnr, lambda new, old: new >= old - TOLERANCE["psnr"]),
    "SSIM": (lambda row: row.figures.ssim, lambda new, old: new >= old - TOLERANCE["ssim"]),
    "GMSD": (lambda row: row.figures.gmsd, lambda new, old: new <= old + TOLERANCE["gmsd"]),
    "hf": (lambda row: row.figures.hf, _nearer),
    "W1": (lambda row: row.figures.w1, lambda new, old: new <= old + TOLERANCE["w1"]),
}
"""A new model beats the old one if, each at the denoise that it recommends, its texture is nearer to the original's
(hf, W1), at equal or better likeness (PSNR, SSIM, GMSD) and with no more flicker of its own; and if what is sharp comes
through its VAE no worse."""


def judge(new: Measured, old: Measured) -> list[Point]:
    """All comparisons of the rule."""
    points = []
    at = f"denoise {new.recommended} against {old.recommended}"
    for name, ours, theirs in (
        (at, new.row(still_name(new.recommended)), old.row(still_name(old.recommended))),
        (THROUGH_VAE, new.row(THROUGH_VAE), old.row(THROUGH_VAE)),
    ):
        for figure, (value, holds) in RULES.items():
            a, b = value(ours), value(theirs)
            points.append(Point(name, figure, a, b, holds(a, b)))
    if new.flicker and old.flicker:
        c, d = (each.flicker_row(same_noise_name(each.recommended)).foreign for each in (new, old))
        points.append(Point(f"{at}, same noise", "not in the original", c, d, c <= d + TOLERANCE["foreign"]))
    return points


def beats(points: Sequence[Point]) -> bool:
    """Whether every comparison holds."""
    return all(point.holds for point in points)


def still_lines(name: str, rows: Sequence[Row]) -> Table:
    """The card's table."""
    table = Table("figures", "PSNR", "SSIM", "GMSD", "grad", "hf", "W1", "color", title=name)
    for row in rows:
        each = row.figures
        color = "" if row.color is None else f"{row.color:.1f}"
        numbers = (f"{each.psnr:.2f}", f"{each.ssim:.4f}", f"{each.gmsd:.4f}", f"{each.grad:.3f}", f"{each.hf:.3f}")
        table.add_row(row.name, *numbers, f"{each.w1:.4f}", color)
    return table


def flicker_lines(name: str, rows: Sequence[FlickerRow]) -> Table:
    """The flicker table."""
    table = Table("figures", "change", "not in the original", "grad", "hf", "W1", title=name)
    for row in rows:
        each = row.figures
        numbers = (f"{row.change:.2f}", f"{row.foreign:.2f}", f"{each.grad:.3f}", f"{each.hf:.3f}", f"{each.w1:.4f}")
        table.add_row(row.name, *numbers)
    return table


def point_lines(points: Sequence[Point]) -> Table:
    """The comparisons, and which hold."""
    table = Table("at", "figure", "new", "in use", "holds")
    for point in points:
        table.add_row(point.row, point.figure, f"{point.new:.4f}", f"{point.old:.4f}", "yes" if point.holds else "no")
    return table
