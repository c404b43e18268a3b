"""What training pulls towards: pixels, slopes, the amount of texture, structure, color; and an adversary for GPUs.

No pre-trained network takes part (no LPIPS). Pictures are `[B, 3, H, W]` float in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW = 8
"""Pixels of width and height over which the amount of texture and the mean color are compared."""
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (BT.601, as OpenCV's gray)."""


def gray(picture: Tensor) -> Tensor:
    """Brightness, `[B, 1, H, W]`."""
    shares = torch.tensor(LUMA, dtype=picture.dtype, device=picture.device)
    return (picture * shares[:, None, None]).sum(1, keepdim=True)


def slopes(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of the slopes, down and right."""
    return sum(
        ((torch.diff(made, dim=side) - torch.diff(wanted, dim=side)).abs().mean() for side in (2, 3)),
        start=torch.zeros((), device=made.device),
    )


def fineness(picture: Tensor) -> Tensor:
    """How much texture there is where: slopes and what a blur takes away, means over windows. `[B, 2, h, w]`."""
    bright = gray(picture)
    # The root is rounded off at nought, where its slope would be infinite.
    across = torch.diff(bright, dim=3)[:, :, 1:] ** 2 + torch.diff(bright, dim=2)[:, :, :, 1:] ** 2
    steep = torch.sqrt(across + 1e-6)
    fine = (bright - blur(bright, 1.5)).abs()[:, :, 1:, 1:]
    return functional.avg_pool2d(torch.cat([steep, fine], 1), WINDOW, stride=WINDOW // 2)


def texture(made: Tensor, wanted: Tensor) -> Tensor:
    """Difference in the amount of texture, wherever it lies within a window: what keeps a decoder from smoothing."""
    return (fineness(made) - fineness(wanted)).abs().mean()


def color(made: Tensor, wanted: Tensor) -> Tensor:
    """Difference of mean colors, of windows and of whole pictures."""
    near = (functional.avg_pool2d(made, WINDOW) - functional.avg_pool2d(wanted, WINDOW)).abs().mean()
    return near + (made - wanted).mean((2, 3)).abs().mean() / 2


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur; edges are reflected."""
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=picture.dtype, device=picture.device)
    weights = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = (weights / weights.sum()).expand(picture.shape[1], 1, -1)
    groups = picture.shape[1]
    wide = functional.pad(picture, (reach, reach, 0, 0), mode="reflect")
    wide = functional.conv2d(wide, kernel[:, :, None, :], groups=groups)
    high = functional.pad(wide, (0, 0, reach, reach), mode="reflect")
    return functional.conv2d(high, kernel[:, :, :, None], groups=groups)


def structure(made: Tensor, wanted: Tensor) -> Tensor:
    """1 - SSIM of brightness (Wang et al. 2004), Gaussian window of sigma 1.5 pixels."""
    a, b = gray(made), gray(wanted)
    stacked = torch.cat([a, b, a * a, b * b, a * b], 1)
    mean_a, mean_b, aa, bb, ab = blur(stacked, 1.5).chunk(5, 1)
    # The usual constants for a range of 2.
    small, large = 0.02**2, 0.06**2
    above = (2 * mean_a * mean_b + small) * (2 * (ab - mean_a * mean_b) + large)
    below = (mean_a**2 + mean_b**2 + small) * (aa - mean_a**2 + bb - mean_b**2 + large)
    return 1 - (above / below).mean()


def likeness(made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """All parts of the loss of a decoded picture, by name, and their sum as `loss`."""
    parts = {
        "pixels": (made - wanted).abs().mean(),
        "slopes": 0.4 * slopes(made, wanted),
        "texture": 0.8 * texture(made, wanted),
        "structure": 0.04 * structure(made, wanted),
        "color": color(made, wanted),
    }
    return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of a diagonal Gaussian from the unit one, mean over elements."""
    return (mean**2 + log_variance.exp() - 1 - log_variance).mean() / 2


class Adversary:
    """A patch discriminator with hinge losses (Isola et al. 2017; Lim and Ye 2017) and an optimizer of its own."""

    def __init__(self, width: int, rate: float, device: torch.device) -> None:
        """
        Args:
            width: channels of its first layer, a multiple of 4.   rate: learning rate.
        """
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after, stride in ((width, 2 * width, 2), (2 * width, 4 * width, 1)):
            layers += [nn.Conv2d(before, after, 4, stride, 1), nn.GroupNorm(4, after), nn.LeakyReLU(0.2)]
        self.network = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4, 1, 1)).to(device)
        self._optimizer = torch.optim.AdamW(self.network.parameters(), rate, betas=(0.5, 0.9))

    def objection(self, likeness_loss: Tensor, made: Tensor) -> Tensor:
        """What it holds against `made`, as strong on its pixels as a third of the other losses (Esser et al. 2021)."""
        # Not channels last: there torch's backward of a group norm for its input alone crashes on a CPU.
        against = -self.network(made.contiguous()).mean()
        ours, theirs = (torch.autograd.grad(each, made, retain_graph=True)[0] for each in (likeness_loss, against))
        weight = (ours.norm() / (theirs.norm() + 1e-8)).clamp(max=1e3).detach()
        objection: Tensor = weight / 3 * against
        return objection

    def learn(self, made: Tensor, wanted: Tensor) -> None:
        """Learn to tell decoded pictures from true ones, one step."""
        loss = (
            functional.relu(1 - self.network(wanted)).mean() + functional.relu(1 + self.network(made.detach())).mean()
        )
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
