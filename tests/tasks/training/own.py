"""An encoder as a user would write it, with what a frozen part must keep still: batch norm and dropout."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks import registry
from tasks.models.tokens import Tokens


class Normed(nn.Module):
    """One token: a projection of the normed mean colour."""

    class Config(registry.Config):
        kind: str

    def __init__(self, config: Config, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        del config
        self.norm = nn.BatchNorm1d(shape["channels"])
        self.project = nn.Linear(shape["channels"], width)
        self.dropout = nn.Dropout(0.5)

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        del lengths_B
        token_BD = self.dropout(self.project(self.norm(image_BCHW.mean((2, 3)))))
        return Tokens(token_BD[:, None], torch.ones(len(token_BD), 1, dtype=torch.bool))


class Deep(nn.Module):
    """One token of the first sixteen numbers of whatever it is given: an encoder of any modality."""

    class Config(registry.Config):
        kind: str

    def __init__(self, config: Config, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        del config, shape
        self.layer = nn.Linear(16, width)

    def forward(self, values: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        del lengths_B
        token_BD = self.layer(values.flatten(1)[:, :16])
        return Tokens(token_BD[:, None], torch.ones(len(token_BD), 1, dtype=torch.bool))
