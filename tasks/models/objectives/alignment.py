"""Aligns modalities: one projection each, and an alignment loss on every pair. Must not import ray or mlflow.

Shape suffixes: B samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tasks.contracts import Batch
from tasks.models.alignments import ALIGNMENTS
from tasks.models.alignments.pairs import over_pairs, pairs_weight_B
from tasks.models.contracts import Outputs
from tasks.models.objectives.config import AlignmentConfig
from tasks.models.tokens import WeightedSum
from tasks.models.towers import Towers
from tasks.registry import implementation


class Alignment(nn.Module):
    """The mean over all pairs of modalities; a sample counts in the pairs that it has both of."""

    def __init__(self, config: AlignmentConfig, modalities: tuple[str, ...], width: int, label: Mapping[str, Any]) -> None:  # noqa: ARG002
        super().__init__()
        self.towers = Towers(config.between or modalities, width, config.dim, config.projection)
        self.loss = implementation(ALIGNMENTS, config.loss.kind)(config.loss, config.dim)

    def forward(self, outputs: Outputs, batch: Batch) -> WeightedSum:
        present = {name: outputs.features.present_B(name) for name in self.towers.modalities}
        return over_pairs(self.loss, self.towers(outputs.features), present, batch.weight)

    def loss_weight(self, batch: Batch) -> Tensor:
        """Samples times the pairs of modalities that they have."""
        present = {name: batch.present[:, batch.modalities.index(name)] for name in self.towers.modalities}
        return pairs_weight_B(present, batch.weight).sum()
