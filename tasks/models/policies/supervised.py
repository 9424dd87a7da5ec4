"""The policy of most trainings: forward, losses, backward, step. Others build on it. Must not import ray or mlflow.

Shape suffixes: B samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from tasks.contracts import Batch
from tasks.models.contracts import Setting, Step
from tasks.models.fused import FusedModel
from tasks.models.tokens import WeightedSum


class Supervised(nn.Module):
    """Descends the model's losses. What another policy changes is `step`, or the losses."""

    uses_all_parameters = True

    def __init__(self, config: Any, model: FusedModel, setting: Setting) -> None:  # noqa: ARG002 - the signature of every policy
        super().__init__()
        self.model, self.setting = model, setting

    @property
    def factors(self) -> Mapping[str, float]:
        return self.model.loss_weights

    def forward(self, part: Batch, losses: Callable[[Batch], dict[str, WeightedSum]]) -> dict[str, WeightedSum]:
        """`losses(part)`, seen by the wrapper of data-parallel training, which must see learned weights of losses here too: they are used
        behind it, in `total`.
        """
        found = losses(part)
        if self.model.log_variances is None:
            return found
        used = self.model.log_variances.sum() * 0
        return {name: WeightedSum(loss.total + used, loss.weight) for name, loss in found.items()}

    def losses(self, part: Batch) -> dict[str, WeightedSum]:
        """Those of heads and objectives."""
        with self.setting.autocast():
            outputs = self.model.outputs(part.inputs, self.model.present_BM(part))
        return self.model.losses(outputs, part)

    def total(self, means: Mapping[str, Tensor], share: float) -> Tensor:
        return self.model.total(means, share)

    def step(self, step: Step, batch: Batch) -> tuple[Tensor, Tensor]:
        loss = step.backward(batch, self.losses, self.model.loss_weight(batch))
        return loss, step.update()
