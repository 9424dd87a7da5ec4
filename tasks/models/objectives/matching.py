"""Tells the modalities of one sample from those of two. Must not import ray or mlflow.

Whom a sample is mixed with is a pure function of keys and epochs, so that it is the same for every number of workers, after a resume and in
each validation. ALBEF asks its multimodal encoder; here a small network is asked about the two embeddings, so that the fusion runs once.

Shape suffixes: B samples of this rank, G samples of all ranks, E numbers of an embedding.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.contracts import Batch
from tasks.models.contracts import Outputs
from tasks.models.gather import gathered, own_rows
from tasks.models.objectives.config_pairs import MatchingConfig
from tasks.models.tokens import WeightedSum
from tasks.models.towers import Towers

CHANCE_BYTES = 6


class Matching(nn.Module):
    """The mean over all pairs of modalities; a sample counts in the pairs it has both of, and serves as partner in those alone.

    A true pair weighs as much as the two false ones, in which either of its modalities has another partner. Where a batch has no second
    sample with both, nothing is asked.
    """

    def __init__(self, config: MatchingConfig, modalities: tuple[str, ...], width: int, label: Mapping[str, Any]) -> None:  # noqa: ARG002
        super().__init__()
        self.negatives, self.temperature = config.negatives, config.temperature
        self.towers = Towers(config.between or modalities, width, config.dim, config.projection)
        self.pairs = tuple(itertools.combinations(self.towers.modalities, 2))
        self.matchers = nn.ModuleList(
            nn.Sequential(nn.Linear(4 * config.dim, config.dim), nn.GELU(), nn.Linear(config.dim, 1)) for _ in self.pairs
        )

    def forward(self, outputs: Outputs, batch: Batch) -> WeightedSum:
        embeddings = self.towers(outputs.features)
        chance_G = gathered(chances(batch).to(batch.weight.device))
        found = []
        for (one, other), matcher in zip(self.pairs, self.matchers, strict=True):
            both_B = outputs.features.present_B(one) & outputs.features.present_B(other)
            found.append(self._pair(matcher, embeddings[one].float(), embeddings[other].float(), batch.weight * both_B, chance_G))
        return WeightedSum(torch.stack([each.total for each in found]).sum(), torch.stack([each.weight for each in found]).sum())

    def loss_weight(self, batch: Batch) -> Tensor:
        """Samples times the pairs of modalities that they have."""
        present = {name: batch.present[:, batch.modalities.index(name)] for name in self.towers.modalities}
        return (torch.stack([present[one] & present[other] for one, other in self.pairs]).sum(0) * batch.weight).sum()

    def _pair(self, matcher: nn.Module, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor, chance_G: Tensor) -> WeightedSum:
        one_GE, other_GE, counts_G = gathered(one_BE), gathered(other_BE), gathered(weight_B) > 0
        rows_B = own_rows(len(weight_B), weight_B.device)
        if self.negatives == "shuffled":
            partners_B = deranged(chance_G, counts_G)[rows_B]
            ones_B = others_B = partners_B
        else:
            others_B = alike(one_BE, other_GE, chance_G[rows_B], rows_B, counts_G, self.temperature)
            ones_B = alike(other_BE, one_GE, chance_G[rows_B], rows_B, counts_G, self.temperature)
        true_B = _asked(matcher, one_BE, other_BE)
        false_2B = _asked(matcher, torch.cat([one_BE, one_GE[ones_B]]), torch.cat([other_GE[others_B], other_BE]))
        each_B = F.softplus(-true_B) / 2 + F.softplus(false_2B).view(2, -1).sum(0) / 4
        return WeightedSum((each_B * weight_B).sum() * (counts_G.sum() > 1), weight_B.sum())


def chances(batch: Batch) -> Tensor:
    """Float64 B in [0, 1): a number for each sample in its epoch."""
    epochs = batch.epochs or [0] * len(batch.keys)
    digests = [hashlib.sha256(f"{epoch}/matching/{key}".encode()).digest() for epoch, key in zip(epochs, batch.keys, strict=True)]
    return torch.tensor([int.from_bytes(each[:CHANCE_BYTES]) / 2 ** (8 * CHANCE_BYTES) for each in digests], dtype=torch.float64)


def deranged(chance_G: Tensor, counts_G: Tensor) -> Tensor:
    """Int64 G: the partner of each sample that counts, another that counts, each once; a single one and those that don't have themselves.

    Samples that count stand in a ring, in the order of their chances, and the next one is the partner: a permutation without fixed point.
    """
    order_G = torch.where(counts_G, chance_G, torch.inf).argsort(stable=True)
    count = counts_G.sum()
    places_G = torch.arange(len(order_G), device=order_G.device)
    next_G = torch.where(places_G < count, torch.where(places_G + 1 < count, places_G + 1, 0), places_G)
    return torch.empty_like(order_G).scatter_(0, order_G, order_G[next_G])


def alike(mine_BE: Tensor, theirs_GE: Tensor, chance_B: Tensor, rows_B: Tensor, counts_G: Tensor, temperature: float) -> Tensor:
    """Int64 B: a partner of each sample among the others that count, drawn by the softmax of cosines over `temperature`."""
    with torch.no_grad():
        logits_BG = F.normalize(mine_BE, dim=-1) @ F.normalize(theirs_GE, dim=-1).T / temperature
        allowed_BG = counts_G & (torch.arange(len(counts_G), device=rows_B.device) != rows_B[:, None])
        shares_BG = logits_BG.double().masked_fill(~allowed_BG, -torch.inf).softmax(-1).nan_to_num(0)
        sums_BG = shares_BG.cumsum(-1)
        drawn_B = torch.searchsorted(sums_BG, (chance_B * sums_BG[:, -1])[:, None], right=True)[:, 0]
        return drawn_B.clamp(max=len(counts_G) - 1)


def _asked(matcher: nn.Module, one_BE: Tensor, other_BE: Tensor) -> Tensor:
    """Float32 B: the logit of belonging together, from both embeddings, what they share and where they differ."""
    one_BE, other_BE = F.normalize(one_BE, dim=-1), F.normalize(other_BE, dim=-1)
    logit_B1: Tensor = matcher(torch.cat([one_BE, other_BE, one_BE * other_BE, (one_BE - other_BE).abs()], dim=-1))
    return logit_B1[:, 0].float()
