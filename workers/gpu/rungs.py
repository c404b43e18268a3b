"""The ladder that a call goes down when the memory does not hold it. Pure: what to try next, not how."""

from __future__ import annotations

from dataclasses import dataclass, replace

FINEST_TILES = 4
"""Tiles along the longer side of a picture, at the most."""


@dataclass(frozen=True)
class UnetRung:
    """How a call of the UNet is cut. Nothing here changes pixels by more than the last bit."""

    rows: int | None = None
    """Rows in a call at the most; None: as many as are expected to fit."""
    texts_apart: bool = False
    """The negative and the positive prompt in a call each."""
    sliced: bool = False
    """Attention slice by slice."""

    def lower(self, rows: int, texts: int, together: bool) -> UnetRung | None:
        """What to try after a call of `rows` rows and `texts` texts did not fit; None: there is nothing left.

        Args:
            together: rows see each other and cannot be called apart.
        """
        if not together and rows > 1:
            return replace(self, rows=rows // 2)
        if texts > 1 and not self.texts_apart:
            return replace(self, texts_apart=True)
        return None if self.sliced else replace(self, sliced=True)


@dataclass(frozen=True)
class VaeRung:
    """How the VAE is called."""

    pictures: int
    """Pictures in a call at the most."""
    tiles: int = 1
    """Tiles along a picture's longer side; more than 1 changes pixels."""

    def lower(self) -> VaeRung | None:
        """What to try after a call did not fit; None: there is nothing left."""
        if self.pictures > 1:
            return replace(self, pictures=self.pictures // 2)
        return replace(self, tiles=self.tiles * 2) if self.tiles < FINEST_TILES else None
