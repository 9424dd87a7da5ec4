"""Makes modalities look alike to a discriminator. Must not import ray or mlflow.

It looks at the tokens before the fusion themselves: a projection of its own would learn to say nothing, and leave the encoders as they are.

Shape suffixes: B samples, D width, K modalities of the objective.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tasks.contracts import Batch
from tasks.models.contracts import Outputs
from tasks.models.objectives.config_adversarial import AdversarialConfig
from tasks.models.objectives.reversal import Discriminator
from tasks.models.tokens import WeightedSum


class Adversarial(nn.Module):
    """Cross-entropy of the discriminator over the modalities of each sample; encoders learn the opposite."""

    def __init__(self, config: AdversarialConfig, modalities: tuple[str, ...], width: int, label: Mapping[str, Any]) -> None:  # noqa: ARG002
        super().__init__()
        self.modalities = tuple(sorted(config.between or modalities))
        self.discriminator = Discriminator(config, width, len(self.modalities))

    def advance(self, done: float) -> None:
        self.discriminator.done = done

    def forward(self, outputs: Outputs, batch: Batch) -> WeightedSum:
        totals = []
        for place, name in enumerate(self.modalities):
            values_BD = outputs.features.towers[name].mean_BD()
            each_B = self.discriminator(values_BD, torch.full((len(values_BD),), place, device=values_BD.device))
            totals.append((each_B * outputs.features.present_B(name) * batch.weight).sum())
        return WeightedSum(torch.stack(totals).sum(), self.loss_weight(batch))

    def loss_weight(self, batch: Batch) -> Tensor:
        """Modalities that are there, over all samples."""
        present_BK = batch.present[:, [batch.modalities.index(name) for name in self.modalities]]
        return (present_BK.sum(1) * batch.weight).sum()
