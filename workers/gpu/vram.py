"""How much memory a call of a network takes: learned from the calls that were made. Pure: no torch, no device."""

from __future__ import annotations

from dataclasses import dataclass, replace

PRIOR_BYTES = 120_000.0
"""Bytes per latent pixel and sample that are believed before any call: more than SD 1.5 and SDXL take in half
precision, so that a first call fits."""
FORGET = 0.9
"""What an older call counts for after each new one."""
MARGIN = 1.1
"""Allocators round up, and a call of another shape may pick another kernel."""


@dataclass(frozen=True)
class VramModel:
    """Bytes of a call as a straight line over its pixels, samples counted: least squares, older calls counting less."""

    count: float = 0.0
    """Calls, weighted; so are the sums of the calls' pixels, bytes, squares of pixels, and products."""
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def observed(self, pixels: int, batch: int, used: int) -> VramModel:
        """The model after a call of `batch` samples of `pixels` latent pixels that took `used` bytes."""
        n = float(pixels * batch)
        return replace(
            self,
            count=FORGET * self.count + 1,
            x=FORGET * self.x + n,
            y=FORGET * self.y + used,
            xx=FORGET * self.xx + n * n,
            xy=FORGET * self.xy + n * used,
        )

    def refused(self, pixels: int, batch: int, room: int) -> VramModel:
        """The model after a call that did not fit into `room` bytes: it takes more than that, and than was believed."""
        return self.observed(pixels, batch, int(max(room * MARGIN, self.bytes(pixels, batch))))

    def bytes(self, pixels: int, batch: int) -> float:
        """Bytes that a call is expected to take, with a margin. Never falls as `pixels` or `batch` grow."""
        slope, fixed = self._line()
        return MARGIN * (fixed + slope * pixels * batch)

    def batch(self, pixels: int, room: int, most: int) -> int:
        """Samples that fit into `room` bytes together: 1 at the least, `most` at the most."""
        slope, fixed = self._line()
        fitting = (room / MARGIN - fixed) / (slope * pixels)
        return max(1, min(most, int(fitting)))

    def _line(self) -> tuple[float, float]:
        """Bytes per pixel, and bytes of a call of none; neither below 0."""
        if not self.count:
            return PRIOR_BYTES, 0.0
        through_origin = self.xy / self.xx
        spread = self.count * self.xx - self.x**2
        # Calls of one size only say nothing of where the line begins.
        if spread <= 1e-6 * self.count * self.xx:
            return through_origin, 0.0
        slope = (self.count * self.xy - self.x * self.y) / spread
        fixed = (self.y - slope * self.x) / self.count
        if fixed < 0 or slope <= 0:
            return through_origin, 0.0
        return slope, fixed
