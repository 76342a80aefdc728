"""The preview sheet: what a person looks at to see whether training goes well."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vfxswap import marks
from vfxswap.models.autoencoder import Autoencoder
from vfxswap.train.bank import Bank
from vfxswap.train.data import centred

_ROWS = 6


@torch.no_grad()
def sheet(net: Autoencoder, *, likeness: Bank, double: Bank, device: torch.device, coarse: float = 1.0) -> bytes:
    """A PNG: likeness | repainted || double | repainted | swapped | mask, one held-out crop each row.

    Where inputs are made up to `coarse` times coarser, the likeness's column shows them so, and the double's crops
    are repainted by the decoder alone.
    """
    size = net.config.resolution
    net.eval()
    a = centred(likeness, likeness.held_out[:_ROWS], size=size, coarse=coarse).to(device)
    b = centred(double, double.held_out[:_ROWS], size=size).to(device)
    painted, _ = net(a.warped, likeness.performer, a.told)
    repainted, _ = net.paint(net.encoder(b.warped), double.performer, b.told)
    swapped, mask = net(b.warped, likeness.performer, b.told)
    columns = [a.warped, painted, b.target, repainted, swapped, mask.expand(-1, 3, -1, -1)]
    rows = min(c.shape[0] for c in columns)
    picture = np.concatenate([np.concatenate([_picture(c[i]) for c in columns], axis=1) for i in range(rows)], axis=0)
    return marks.altered_png(picture)


def _picture(x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray((x.float().clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).cpu().numpy(), np.uint8)
