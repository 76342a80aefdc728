"""Detail that the crop has lost: a small U-Net that corrects the crop itself, with the painted face beside it.

Where one performer is restored, the crop is already that face, only coarse, and holds what a code of a hundred numbers
cannot: where exactly everything lies. So what is painted is taken as a hint, and what comes out is the crop and a
correction, which is nothing before the first step.

Source: learning the residual, as J. Kim, J. Lee, K. Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional
Networks", CVPR 2016; the network is that of occlusion.py.
"""

from __future__ import annotations

from torch import Tensor, nn

from vfxswap.models.occlusion import Occlusion

_HALVED = 2
"""The network's finest raster is half the crop's."""


class Detail(Occlusion):
    """(N, 3, S, S) crop, (N, 3, S, S) painted face and (N, 1, S, S) painted mask -> (N, 3, S, S) restored face."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.head = nn.Conv2d(width, 3 * _HALVED**2, 3, padding=1)
        for weight in self.head.parameters():
            nn.init.zeros_(weight)

    def forward(self, crop: Tensor, painted: Tensor, mask: Tensor) -> Tensor:
        """The crop and its correction, model space."""
        return crop + super().forward(crop, painted, mask)


def restored(detail: nn.Module | None, crop: Tensor, painted: Tensor, mask: Tensor) -> Tensor:
    """(N, 3, S, S) the painted face, or in its place the crop with its detail where the network has that."""
    if detail is None:
        return painted
    whole: Tensor = detail(crop, painted, mask)
    return whole
