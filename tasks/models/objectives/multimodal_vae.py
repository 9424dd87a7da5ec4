"""A variational autoencoder over all modalities with a product of experts. Must not import ray or mlflow.

    tokens of each modality ─▶ expert (mean, log variance) ─▶ product with the prior ─▶ latent ─▶ decoders ─▶ each modality's input

Shape suffixes: B samples, M modalities, S bounds, E numbers of the latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tasks.contracts import Batch, ModalityBatch
from tasks.models.contracts import Outputs
from tasks.models.names import slot
from tasks.models.objectives.config_generative import MultimodalVaeConfig
from tasks.models.objectives.fixed_views import FixedView
from tasks.models.objectives.gaussians import divergence_B, product
from tasks.models.tokens import WeightedSum

LOG_VARIANCES = (-8.0, 8.0)
"""What an expert may say, so that no precision leaves the number format."""


class MultimodalVae(nn.Module):
    """Minus the evidence lower bound, in nats for each number said, averaged over the sets of modalities that a sample has any of.

    Decoders say the inputs (`FixedView`), not what encoders made of them: those could become easy to say by becoming all alike. A modality
    that a sample lacks is no expert and is not said. The latent is drawn in training and is the mean otherwise, with the whole `beta`, so
    that validations compare.
    """

    def __init__(self, config: MultimodalVaeConfig, modalities: tuple[str, ...], width: int, label: Mapping[str, Any]) -> None:
        super().__init__()
        self.modalities = tuple(sorted(config.between or modalities))
        self.subsets, self.beta, self.warmup, self.done = config.subsets, config.beta, config.warmup, 0.0
        self.views = {name: FixedView(name, label["shapes"][name], config.cells) for name in self.modalities}
        self.numbers = sum(view.said for view in self.views.values())
        self.experts, self.decoders = nn.ModuleDict(), nn.ModuleDict()
        for name, view in self.views.items():
            self.experts[slot(name)] = nn.Linear(width, 2 * config.dim)
            self.decoders[slot(name)] = nn.Sequential(nn.Linear(config.dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, view.size))

    def advance(self, done: float) -> None:
        self.done = done

    def forward(self, outputs: Outputs, batch: Batch) -> WeightedSum:
        means, log_variances = [], []
        for name in self.modalities:
            mean_BE, log_variance_BE = self.experts[slot(name)](outputs.features.towers[name].mean_BD().float()).chunk(2, dim=-1)
            means.append(mean_BE)
            log_variances.append(log_variance_BE.clamp(*LOG_VARIANCES))
        mean_BME, log_variance_BME = torch.stack(means, 1), torch.stack(log_variances, 1)
        present_BM = self._present_BM(batch)
        views = {name: self._view(name, batch.inputs[name], present_BM[:, place]) for place, name in enumerate(self.modalities)}
        chosen_S = self._chosen(present_BM)
        bound_BS = torch.stack([self._bound_B(mean_BME, log_variance_BME, chosen_BM, views) for chosen_BM in chosen_S], 1)
        there_BS = torch.stack([chosen_BM.any(1) for chosen_BM in chosen_S], 1)
        mean_B = (bound_BS * there_BS).sum(1) / there_BS.sum(1).clamp(min=1)
        weight_B = batch.weight * present_BM.any(1)
        return WeightedSum((mean_B / self.numbers * weight_B).sum(), weight_B.sum())

    def loss_weight(self, batch: Batch) -> Tensor:
        """Samples that have any of the modalities."""
        return (batch.weight * self._present_BM(batch).any(1)).sum()

    def _present_BM(self, batch: Batch) -> Tensor:
        return batch.present[:, [batch.modalities.index(name) for name in self.modalities]]

    def _view(self, name: str, given: ModalityBatch, present_B: Tensor) -> Tensor:
        return torch.where(present_B[:, None], self.views[name].of(given), 0.0)

    def _chosen(self, present_BM: Tensor) -> list[Tensor]:
        """The sets of modalities whose bounds are averaged, each BM."""
        found = [present_BM]
        if self.subsets != "all":
            each_MM = torch.eye(len(self.modalities), dtype=torch.bool, device=present_BM.device)
            found += [present_BM & each_M for each_M in each_MM]
        if self.subsets == "all_each_and_random" and self.training:
            found.append(present_BM & (torch.rand(present_BM.shape, device=present_BM.device) < 0.5))
        return found

    def _bound_B(self, mean_BME: Tensor, log_variance_BME: Tensor, chosen_BM: Tensor, views: Mapping[str, Tensor]) -> Tensor:
        """Minus the bound of one set of modalities, in nats."""
        mean_BE, log_variance_BE = product(mean_BME, log_variance_BME, chosen_BM)
        latent_BE = mean_BE + torch.randn_like(mean_BE) * (log_variance_BE / 2).exp() if self.training else mean_BE
        bound_B = self._beta() * divergence_B(mean_BE, log_variance_BE)
        for place, name in enumerate(self.modalities):
            said_BN = self.decoders[slot(name)](latent_BE)
            bound_B = bound_B + self.views[name].surprise_B(said_BN, views[name]) * chosen_BM[:, place]
        return bound_B

    def _beta(self) -> float:
        return self.beta * min(1.0, self.done / self.warmup) if self.training and self.warmup else self.beta
