"""Head for a label with classes. Must not import ray or mlflow.

Shape suffixes: B samples, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.contracts import Features
from tasks.models.heads.class_weights import class_weight_K, classes_in
from tasks.models.heads.config import ClassesConfig
from tasks.models.heads.focal import focal_B
from tasks.models.tokens import WeightedSum

NO_LABEL = -1


class Classification(nn.Module):
    """Logits over the classes seen in training."""

    class_weight_K: Tensor

    def __init__(self, config: ClassesConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        classes = classes_in(name, label, "a classification")
        weight_K = class_weight_K(name, config.class_weights, label, classes)
        self.label_smoothing = config.label_smoothing
        self.gamma = config.gamma if config.loss == "focal" else None
        self.linear = nn.Linear(width, len(classes))
        self.register_buffer("class_weight_K", weight_K)

    def forward(self, features: Features) -> Tensor:
        """Float32 logits BK."""
        logits_BK: Tensor = self.linear(features.fused.mean_BD())
        return logits_BK.float()

    def loss(self, logits_BK: Tensor, target_B: Tensor, weight_B: Tensor) -> WeightedSum:
        """Cross-entropy or the focal loss; a class weight counts in both sums, as in `torch.nn.CrossEntropyLoss`. Samples without label
        count nothing.
        """
        known_B, weight_K = target_B.clamp(min=0), self.class_weight_K
        if self.gamma is None:
            each_B = F.cross_entropy(logits_BK, known_B, weight_K, reduction="none", label_smoothing=self.label_smoothing)
        else:
            each_B = focal_B(logits_BK, known_B, self.gamma, self.label_smoothing, weight_K)
        total = (each_B * weight_B * (target_B != NO_LABEL)).sum()
        return WeightedSum(total, self.loss_weight_B(target_B, weight_B).sum())

    def loss_weight_B(self, target_B: Tensor, weight_B: Tensor) -> Tensor:
        """What each sample counts in the loss: known before the model runs."""
        return weight_B * (target_B != NO_LABEL) * self.class_weight_K[target_B.clamp(min=0)]

    def metrics(self, logits_BK: Tensor, target_B: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        weight_B = weight_B * (target_B != NO_LABEL)
        return {"accuracy": WeightedSum(((logits_BK.argmax(-1) == target_B) * weight_B).sum(), weight_B.sum())}

    def predict(self, logits_BK: Tensor) -> Tensor:
        """Probabilities BK in the order of the label's classes."""
        return logits_BK.softmax(-1)
