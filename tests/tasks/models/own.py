"""An encoder as a user would write it.

Shape suffixes: B samples, C channels, H height, W width, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks import registry
from tasks.models.tokens import Tokens


class Mean(nn.Module):
    """One token: a projection of the mean colour."""

    class Config(registry.Config):
        kind: str
        scale: float = 1.0

    def __init__(self, config: Config, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.scale = config.scale
        self.project = nn.Linear(shape["channels"], width)

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        token_BD = self.project(image_BCHW.mean((2, 3)) * self.scale)
        return Tokens(token_BD[:, None], torch.ones(len(token_BD), 1, dtype=torch.bool))
