"""Fusions that take the sum, the mean or the maximum over the modalities, feature by feature. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import Pool
from tasks.models.fusions.config import MaxConfig, MeanConfig, SumConfig
from tasks.models.tokens import Tokens, present_or_all_BM, single


class Elementwise(nn.Module):
    """One pooled vector for each modality, one operation over them. Gives one token.

    `mean` and `max` leave a missing modality out; in `sum` it takes part by its learned token, which keeps sums of few and of many alike.
    """

    def __init__(self, config: SumConfig | MeanConfig | MaxConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.reduce = _REDUCTIONS[config.kind]
        self.pool = Pool(len(modalities), width, config.num_heads)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:
        pooled_BMD = self.pool([tokens[modality] for modality in self.modalities])
        return single(self.dropout(self.norm(self.reduce(pooled_BMD, present_or_all_BM(present_BM)))))


def _sum(pooled_BMD: Tensor, counted_BM: Tensor) -> Tensor:  # noqa: ARG001 - the call of every reduction
    return pooled_BMD.sum(1)


def _mean(pooled_BMD: Tensor, counted_BM: Tensor) -> Tensor:
    return Tokens(pooled_BMD, counted_BM).mean_BD()


def _max(pooled_BMD: Tensor, counted_BM: Tensor) -> Tensor:
    return pooled_BMD.masked_fill(~counted_BM[..., None], -torch.inf).amax(1)


_REDUCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"sum": _sum, "mean": _mean, "max": _max}
