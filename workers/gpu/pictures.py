"""Pictures that lie ready for a GPU: one block of memory, pinned, that also reads as a list of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.float32]


class Pictures(Sequence[Pixels]):
    """Pictures of one size, `[H, W, 3]` float32 each, in one tensor `[n, H, W, 3]` of the CPU's memory."""

    def __init__(self, pictures: Sequence[Pixels], pin: bool) -> None:
        """
        Args:
            pin: in memory that a GPU reads by itself, while the CPU goes on; needs CUDA.
        """
        first = pictures[0]
        self.tensor: Tensor = torch.empty((len(pictures), *first.shape), dtype=torch.float32, pin_memory=pin)
        for place, picture in enumerate(pictures):
            self.tensor[place] = torch.from_numpy(np.ascontiguousarray(picture))

    def __len__(self) -> int:
        return len(self.tensor)

    @overload
    def __getitem__(self, index: int) -> Pixels: ...

    @overload
    def __getitem__(self, index: slice) -> list[Pixels]: ...

    def __getitem__(self, index: int | slice) -> Pixels | list[Pixels]:
        found = self.tensor[index].numpy()
        return list(found) if isinstance(index, slice) else found

    def __iter__(self) -> Iterator[Pixels]:
        return iter(self.tensor.numpy())
