"""Head that embeds each modality, so that one finds another. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks, M modalities of the head, E numbers of an embedding.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.alignments import ALIGNMENTS
from tasks.models.alignments.pairs import over_pairs, pairs_weight_B
from tasks.models.contracts import Features, Present
from tasks.models.gather import gathered, own_rows
from tasks.models.heads.config_retrieval import RetrievalConfig, in_batch
from tasks.models.tokens import WeightedSum
from tasks.models.towers import Towers
from tasks.registry import implementation

TIE = 1e-6
"""Cosines that differ by less are equal: float32 promises no more."""


class Embedded(NamedTuple):
    """What the towers make of a batch."""

    values_BME: Tensor
    """As the loss sees them."""
    present_BM: Tensor


class Retrieval(nn.Module):
    """A tower a modality, from its tokens before the fusion: no embedding knows of the others of its sample."""

    def __init__(self, config: RetrievalConfig, name: str, label: Mapping[str, Any], width: int) -> None:  # noqa: ARG002 - as every head
        super().__init__()
        self.modalities = config.modalities
        self.towers = Towers(self.modalities, width, config.dim, config.projection)
        self.alignment = implementation(ALIGNMENTS, config.loss.kind)(config.loss, config.dim)
        self.space = self.alignment.space(self.modalities) if hasattr(self.alignment, "space") else None

    def forward(self, features: Features) -> Embedded:
        """Float32 embeddings, those of a missing modality too."""
        embeddings = self.towers(features)
        values_BME = torch.stack([embeddings[name].float() for name in self.modalities], dim=1)
        # Nothing here needs the fusion, and data-parallel training waits for gradients of all parameters: these are zeros.
        unused_B = features.fused.mean_BD().float().sum(1) * 0
        return Embedded(values_BME + unused_B[:, None, None], torch.stack([features.present_B(name) for name in self.modalities], dim=1))

    def loss(self, output: Embedded, target: Present, weight_B: Tensor) -> WeightedSum:
        """The alignment's, the mean over pairs of modalities; a sample counts in the pairs that it has both of."""
        present = self._present(target)
        if self.space is not None and self.training:
            self.space.learn(output.values_BME, torch.stack(list(present.values()), dim=1) * weight_B[:, None])
        embeddings = dict(zip(self.modalities, output.values_BME.unbind(1), strict=True))
        return over_pairs(self.alignment, embeddings, present, weight_B)

    def loss_weight_B(self, target: Present, weight_B: Tensor) -> Tensor:
        """What each sample counts in the loss: known before the model runs."""
        return pairs_weight_B(self._present(target), weight_B)

    def metrics(self, output: Embedded, target: Present, weight_B: Tensor) -> dict[str, WeightedSum]:
        """R@1 of each direction among the samples of the global batch that have both; of equal cosines each is as likely the first."""
        present = self._present(target)
        embeddings = dict(zip(self.modalities, self.predict(output).unbind(1), strict=True))
        return {
            in_batch(query, found): first_in_batch(embeddings[query], embeddings[found], weight_B * (present[query] & present[found]))
            for query, found in itertools.permutations(self.modalities, 2)
        }

    def predict(self, output: Embedded) -> Tensor:
        """Float32 BME in the order of `modalities`: unit length, zeros where a sample lacks the modality. Compared by cosine."""
        values_BME = output.values_BME if self.space is None else self.space(output.values_BME)
        return F.normalize(values_BME, dim=-1) * output.present_BM[..., None]

    def _present(self, target: Present) -> dict[str, Tensor]:
        return {name: target.present_BM[:, target.modalities.index(name)] for name in self.modalities}


def first_in_batch(query_BE: Tensor, found_BE: Tensor, weight_B: Tensor) -> WeightedSum:
    """How many queries have their own partner first, of those that count, in the global batch."""
    cosine_BG = (query_BE @ gathered(found_BE).T).masked_fill(gathered(weight_B) <= 0, -torch.inf)
    highest_BG = cosine_BG >= cosine_BG.amax(1, keepdim=True) - TIE
    own_B = highest_BG.gather(1, own_rows(len(weight_B), weight_B.device)[:, None]).squeeze(1)
    return WeightedSum((own_B / highest_BG.sum(1).clamp(min=1) * weight_B).sum(), weight_B.sum())
