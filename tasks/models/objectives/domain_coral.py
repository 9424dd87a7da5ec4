"""Brings the covariances of domains together (Deep CORAL, arXiv:1607.01719). Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks, D width, K domains.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.contracts import Batch
from tasks.models.contracts import Outputs
from tasks.models.gather import gathered
from tasks.models.objectives.config_adversarial import DomainCoralConfig
from tasks.models.objectives.domains import NO_DOMAIN, domains_of
from tasks.models.tokens import WeightedSum


class DomainCoral(nn.Module):
    """Squared distance of the covariances of what the heads see, over 4D², averaged over the pairs of domains with two samples each.

    It has nothing to learn of its own. Where a batch has no such pair it is 0.
    """

    def __init__(self, config: DomainCoralConfig, modalities: tuple[str, ...], width: int, label: Mapping[str, Any]) -> None:  # noqa: ARG002
        super().__init__()
        self.name = str(label["name"])
        self.num_domains = len(domains_of(config.kind, label))

    def forward(self, outputs: Outputs, batch: Batch) -> WeightedSum:
        domain_B = batch.labels[self.name]
        weight_B = batch.weight * (domain_B != NO_DOMAIN)
        share_BK = F.one_hot(domain_B.clamp(min=0), self.num_domains) * (weight_B > 0)[:, None]
        distance = distance_of_covariances(gathered(outputs.features.fused.mean_BD().float()), gathered(share_BK.float()))
        return WeightedSum(distance * weight_B.sum(), weight_B.sum())

    def loss_weight(self, batch: Batch) -> Tensor:
        """Samples of a known domain."""
        return (batch.weight * (batch.labels[self.name] != NO_DOMAIN)).sum()


def distance_of_covariances(values_GD: Tensor, member_GK: Tensor) -> Tensor:
    """Scalar. `member_GK`: 1 where a sample is of a domain, else 0."""
    count_K = member_GK.sum(0)
    mean_KD = member_GK.T @ values_GD / count_K.clamp(min=1)[:, None]
    covariances = []
    for place in range(member_GK.shape[1]):
        centred_GD = (values_GD - mean_KD[place]) * member_GK[:, place, None]
        covariances.append(centred_GD.T @ centred_GD / (count_K[place] - 1).clamp(min=1))
    pairs = list(itertools.combinations(range(len(covariances)), 2))
    each = torch.stack([(covariances[one] - covariances[other]).square().sum() for one, other in pairs]) / (4 * values_GD.shape[1] ** 2)
    counts = torch.stack([(count_K[one] > 1) & (count_K[other] > 1) for one, other in pairs]).float()
    return (each * counts).sum() / counts.sum().clamp(min=1)
