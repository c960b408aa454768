"""Shifted and mirrored pictures while training: for each visit, network and picture a draw of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.streams import Streams


def views(x: Tensor, streams: Streams, *, crop: int, flip: bool, black: Tensor) -> Tensor:
    """Return pictures x (M, B, c, h, w), each shifted by up to ``crop`` pixels and, with ``flip``, mirrored or not.

    Beyond a picture's edge it is ``black`` (c, 1, 1), the normalised value. Draws come from streams beside those of the
    batches: the same pictures make up a batch with and without, and what a network sees does not depend on its
    neighbours. Source: the usual crop and flip of CIFAR-10's trainings; Unlearning via Simulated Oracle Matching,
    appendix G.4, for what it changes.
    """
    models, size, channels, height, width = x.shape
    beside = streams.beside("views")
    rows = torch.arange(height, device=x.device).expand(models, size, height)  # (M, B, h)
    columns = torch.arange(width, device=x.device).expand(models, size, width)  # (M, B, w)
    if crop:
        shift = beside.integers(2 * crop + 1, size, 2) - crop  # (M, B, 2)
        rows, columns = rows + shift[..., :1], columns + shift[..., 1:]
    if flip:
        mirrored = beside.integers(2, size, 1).bool()  # (M, B, 1)
        columns = torch.where(mirrored, columns.flip(-1), columns)
    inside = ((rows >= 0) & (rows < height))[..., :, None] & ((columns >= 0) & (columns < width))[..., None, :]
    places = rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    index = places.flatten(2)[:, :, None].expand(-1, -1, channels, -1)  # (M, B, c, h w)
    moved = x.flatten(3).gather(3, index).view(x.shape)
    return torch.where(inside[:, :, None], moved, black)
