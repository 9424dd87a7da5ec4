"""An alignment over every pair of some modalities. Must not import ray or mlflow.

Shape suffixes: B samples, E numbers of an embedding.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tasks.models.tokens import WeightedSum


def over_pairs(
    loss: Callable[[Tensor, Tensor, Tensor], WeightedSum], embeddings: Mapping[str, Tensor], present: Mapping[str, Tensor], weight_B: Tensor
) -> WeightedSum:
    """The sum over all pairs of modalities; a sample counts in the pairs that it has both of. Modality → BE, and → bool B."""
    found = [
        loss(embeddings[one], embeddings[other], weight_B * (present[one] & present[other]))
        for one, other in itertools.combinations(embeddings, 2)
    ]
    return WeightedSum(torch.stack([each.total for each in found]).sum(), torch.stack([each.weight for each in found]).sum())


def pairs_weight_B(present: Mapping[str, Tensor], weight_B: Tensor) -> Tensor:
    """What each sample counts in that: its weight times the pairs that it has."""
    pairs = [present[one] & present[other] for one, other in itertools.combinations(present, 2)]
    return torch.stack(pairs).sum(0) * weight_B
