"""Pseudo-labels: what the model is sure of teaches it the samples without label. Must not import ray or mlflow.

A sample is read twice. Of its first view the model makes a guess; where the guess has at least the probability `threshold`, the second,
strongly varied view learns it as if it were the label (FixMatch, arXiv:2001.07685; Lee 2013). The loss is

    1/|U| · Σ over U of  [max p(first view) ≥ threshold] · H(argmax p(first view), p(second view))

over all samples U without the label, not over the sure ones: so it grows with their number, and its weight is known before the model
runs, as that of every loss.

Shape suffixes: B samples, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tasks.contracts import Batch
from tasks.models.contracts import Setting, Step
from tasks.models.fused import FusedModel
from tasks.models.policies.config_few_labels import STRONG, PseudoLabelsConfig
from tasks.models.policies.supervised import Supervised
from tasks.models.tokens import WeightedSum

NO_LABEL = -1


class PseudoLabels(Supervised):
    """The model's own losses, and one more for each head."""

    def __init__(self, config: PseudoLabelsConfig, model: FusedModel, setting: Setting) -> None:
        super().__init__(config, model, setting)
        self.config = config
        self.names = {head: f"pseudo/{head}" for head in config.unlabelled(model.config.heads)}
        self.now = 1.0
        """Which part of its weight the loss has in this step."""

    @property
    def factors(self) -> Mapping[str, float]:
        return {**self.model.loss_weights, **dict.fromkeys(self.names.values(), self.config.weight)}

    def losses(self, part: Batch) -> dict[str, WeightedSum]:
        """Those of heads and objectives on the first view, and that of the guesses on the second."""
        present_BM = self.model.present_BM(part)
        with self.setting.autocast():
            first = self.model.outputs(part.inputs, present_BM)
            second = self.model.outputs({**part.inputs, **part.views[STRONG]}, present_BM)
        weights = self._weights(part)
        return self.model.losses(first, part) | {
            name: WeightedSum(self._learned(head, first.heads[head], second.heads[head], part), weights[name])
            for head, name in self.names.items()
        }

    def total(self, means: Mapping[str, Tensor], share: float) -> Tensor:
        guessed = [means[name] for name in self.names.values()]
        own = {name: mean for name, mean in means.items() if name in self.model.loss_weights}
        return self.model.total(own, share) + self.now * self.config.weight * torch.stack(guessed).sum()

    def step(self, step: Step, batch: Batch) -> tuple[Tensor, Tensor]:
        self.now = min(1.0, step.number / (self.config.warmup * step.total)) if self.config.warmup else 1.0
        loss = step.backward(batch, self.losses, {**self.model.loss_weight(batch), **self._weights(batch)})
        return loss, step.update()

    def _weights(self, batch: Batch) -> dict[str, Tensor]:
        """How many samples lack each head's label."""
        return {name: (batch.weight * (batch.labels[head] == NO_LABEL)).sum() for head, name in self.names.items()}

    def _learned(self, head: str, first: Tensor, second: Tensor, part: Batch) -> Tensor:
        """The head's loss on the second view, where the first view's guess is sure enough; summed."""
        sure_B, guess_B = self.model.head(head).predict(first.detach()).max(-1)
        learns_B = (part.labels[head] == NO_LABEL) & (sure_B >= self.config.threshold)
        target_B = torch.where(learns_B, guess_B, NO_LABEL)
        return self.model.head(head).loss(second, target_B, part.weight).total
