"""The policy that moves discriminators and the rest of the model in turn. Must not import ray or mlflow."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.contracts import Batch
from tasks.models.contracts import Outputs, Setting, Step
from tasks.models.fused import FusedModel
from tasks.models.policies.config_adversarial import AdversarialPolicyConfig
from tasks.models.policies.supervised import Supervised
from tasks.models.tokens import WeightedSum


class Adversarial(Supervised):
    """`discriminator_steps` down the losses of the objectives that fool somebody, on what the model makes of the batch now, then one step
    of all else, the discriminators held still. Which way the model moves is up to those objectives, as without this policy.
    """

    uses_all_parameters = False

    def __init__(self, config: AdversarialPolicyConfig, model: FusedModel, setting: Setting) -> None:
        super().__init__(config, model, setting)
        self.discriminator_steps = config.discriminator_steps
        self.fooling = tuple(name for name in model.loss_weights if name not in model.judging)
        places = tuple(f"model.{place}" for place in model.discriminators)
        self.discriminators = frozenset(name for name, _ in self.named_parameters() if name.startswith(places))

    def step(self, step: Step, batch: Batch) -> tuple[Tensor, Tensor]:
        weights = self.model.loss_weight(batch)
        for _ in range(self.discriminator_steps):
            step.backward(batch, self.discriminator_losses, {name: weights[name] for name in self.fooling})
            step.update(self.discriminators.__contains__)
        loss = step.backward(batch, self.losses, weights)
        return loss, step.update(lambda name: name not in self.discriminators)

    def discriminator_losses(self, part: Batch) -> dict[str, WeightedSum]:
        """Those of the objectives that fool somebody, with no way back into the model."""
        present_BM = self.model.present_BM(part)
        with self.setting.autocast(), torch.no_grad():
            features = self.model.features(self.model.encode(part.inputs, present_BM), present_BM)
        return {name: self.model.objective(name)(Outputs(features, {}), part) for name in self.fooling}
