"""Head for a label that is a number. Must not import ray or mlflow.

Shape suffixes: B samples, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.errors import LabelError
from tasks.models.contracts import Features
from tasks.models.heads.config import RegressionConfig
from tasks.models.tokens import WeightedSum


class Regression(nn.Module):
    """The standardised label; `predict` gives it in its own unit."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: RegressionConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        if label.get("kind") != "number":
            raise LabelError(
                f"head {name!r} is a regression, but its label is a category; "
                "use `kind: classification`, or make the label a number when ingesting"
            )
        self.each = F.mse_loss if config.loss == "squared" else F.huber_loss
        self.linear = nn.Linear(width, 1)
        self.register_buffer("mean", torch.tensor(float(label["mean"]), dtype=torch.float64))
        self.register_buffer("std", torch.tensor(float(label["std"]) or 1.0, dtype=torch.float64))

    def forward(self, features: Features) -> Tensor:
        """Float32 B, standardised."""
        output_B1: Tensor = self.linear(features.fused.mean_BD())
        return output_B1.squeeze(-1).float()

    def loss(self, output_B: Tensor, target_B: Tensor, weight_B: Tensor) -> WeightedSum:
        """In standardised units. Samples without label (NaN) count nothing."""
        weight_B = self.loss_weight_B(target_B, weight_B)
        standardised_B = ((target_B.nan_to_num() - self.mean) / self.std).float()
        each_B = self.each(output_B, standardised_B, reduction="none")
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, target_B: Tensor, weight_B: Tensor) -> Tensor:
        """What each sample counts in the loss: known before the model runs."""
        return weight_B * ~target_B.isnan()

    def metrics(self, output_B: Tensor, target_B: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        """Mean absolute and mean squared error in the label's own unit."""
        weight_B = self.loss_weight_B(target_B, weight_B)
        error_B = self.predict(output_B) - target_B.nan_to_num()
        return {
            "mae": WeightedSum((error_B.abs() * weight_B).sum(), weight_B.sum()),
            "mse": WeightedSum((error_B.square() * weight_B).sum(), weight_B.sum()),
        }

    def predict(self, output_B: Tensor) -> Tensor:
        """Float64 B, in the label's own unit."""
        return output_B.double() * self.std + self.mean
