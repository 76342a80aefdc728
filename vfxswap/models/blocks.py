"""Convolution blocks shared by the networks. Only operators that export to ONNX and TorchScript."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1


class Down(nn.Module):
    """Halve the raster: 3x3 convolution of stride 2, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/2, W/2)."""
        return functional.leaky_relu(self.conv(x), SLOPE)


class Patches(nn.Module):
    """Squares of `side` pixels become channels; a 3x3 convolution over them, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, *, side: int) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(side)
        self.conv = nn.Conv2d(inputs * side**2, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H/side, W/side)."""
        return functional.leaky_relu(self.conv(self.unshuffle(x)), SLOPE)


def smooth(conv: nn.Conv2d, *, times: int) -> None:
    """Let a sub-pixel convolution start without a checkerboard (ICNR, Aitken et al. 2017).

    Args:
        conv: in front of a pixel shuffle; all sub-pixels of an output channel start equal.
        times: how many times the shuffle enlarges; 1 changes nothing.
    """
    if times == 1:
        return
    with torch.no_grad():
        count = times**2
        conv.weight.copy_(conv.weight[::count].clone().repeat_interleave(count, dim=0))
        nn.init.zeros_(conv.get_parameter("bias"))


class Up(nn.Module):
    """Double the raster by sub-pixel convolution (Shi et al., CVPR 2016), initialised without checkerboard."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs * 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        smooth(self.conv, times=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
        doubled: Tensor = self.shuffle(functional.leaky_relu(self.conv(x), SLOPE))
        return doubled


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip; the second starts small so that the block starts near identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> same shape."""
        y = self.second(functional.leaky_relu(self.first(x), SLOPE))
        return functional.leaky_relu(x + y, SLOPE)
