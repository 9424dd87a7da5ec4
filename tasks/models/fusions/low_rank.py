"""Fusion by a bilinear form of low rank: LMF (arXiv:1806.00064). Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, R rank, E width and one, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import Pool
from tasks.models.fusions.config import LowRankConfig
from tasks.models.tokens import Tokens, single


class LowRank(nn.Module):
    """`Σᵣ wᵣ ∏ₘ Fₘᵣ [xₘ, 1] + b`: every product of features, one of each modality, without the tensor of them all. Gives one token.

    The appended ones keep products of fewer modalities among them. A missing modality takes part by its learned token. The sum is normed
    afterwards, since products of many factors have no scale of their own.
    """

    def __init__(self, config: LowRankConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.pool = Pool(len(modalities), width, config.num_heads)
        self.factor_MRED = nn.Parameter(torch.randn(len(modalities), config.rank, width + 1, width) * (width + 1) ** -0.5)
        self.weight_R = nn.Parameter(torch.randn(config.rank) * config.rank**-0.5)
        self.bias_D = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:  # noqa: ARG002 - the call of every fusion
        pooled_BMD = self.pool([tokens[modality] for modality in self.modalities])
        return single(self.dropout(self.norm(self.products_BD(pooled_BMD))))

    def products_BD(self, pooled_BMD: Tensor) -> Tensor:
        """The formula, of one vector for each modality."""
        extended_BME = torch.cat([pooled_BMD, torch.ones_like(pooled_BMD[..., :1])], -1)
        projected_BMRD = torch.einsum("bme,mred->bmrd", extended_BME, self.factor_MRED)
        return torch.einsum("brd,r->bd", projected_BMRD.prod(1), self.weight_R) + self.bias_D
