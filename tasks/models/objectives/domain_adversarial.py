"""Makes domains look alike to a discriminator (DANN, arXiv:1505.07818). Must not import ray or mlflow.

Shape suffixes: B samples, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tasks.contracts import Batch
from tasks.models.contracts import Outputs
from tasks.models.objectives.config_adversarial import DomainAdversarialConfig
from tasks.models.objectives.domains import NO_DOMAIN, domains_of
from tasks.models.objectives.reversal import Discriminator
from tasks.models.tokens import WeightedSum


class DomainAdversarial(nn.Module):
    """Cross-entropy of the discriminator on what the heads see; the model before them learns the opposite."""

    def __init__(self, config: DomainAdversarialConfig, modalities: tuple[str, ...], width: int, label: Mapping[str, Any]) -> None:  # noqa: ARG002
        super().__init__()
        self.name = str(label["name"])
        self.discriminator = Discriminator(config, width, len(domains_of(config.kind, label)))

    def advance(self, done: float) -> None:
        self.discriminator.done = done

    def forward(self, outputs: Outputs, batch: Batch) -> WeightedSum:
        each_B = self.discriminator(outputs.features.fused.mean_BD(), batch.labels[self.name].clamp(min=0))
        weight_B = batch.weight * (batch.labels[self.name] != NO_DOMAIN)
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())

    def loss_weight(self, batch: Batch) -> Tensor:
        """Samples of a known domain."""
        return (batch.weight * (batch.labels[self.name] != NO_DOMAIN)).sum()
