"""One embedding a modality, from the tokens before the fusion. Must not import ray or mlflow.

Shape suffixes: B samples, D width, E numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from tasks.models.contracts import Features
from tasks.models.names import slot


class Towers(nn.Module):
    """Modality → BE: the mean of its tokens through a projection of its own. A missing modality gives the learned token's."""

    def __init__(self, modalities: Sequence[str], width: int, dim: int, projection: Literal["linear", "mlp"]) -> None:
        super().__init__()
        self.modalities = tuple(sorted(modalities))
        self.projections = nn.ModuleDict({slot(name): _projection(width, dim, projection) for name in self.modalities})

    def forward(self, features: Features) -> dict[str, Tensor]:
        return {name: self.projections[slot(name)](features.towers[name].mean_BD().float()) for name in self.modalities}


def _projection(width: int, dim: int, kind: Literal["linear", "mlp"]) -> nn.Module:
    if kind == "linear":
        return nn.Linear(width, dim, bias=False)
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, dim))
