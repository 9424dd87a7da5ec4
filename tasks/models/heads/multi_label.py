"""Head for a label with any number of classes a sample. Must not import ray or mlflow.

Shape suffixes: B samples, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tasks.models.contracts import Features
from tasks.models.heads.class_weights import classes_in, given_weight_K, positive_weight_K
from tasks.models.heads.config_labels import MultiLabelConfig
from tasks.models.heads.focal import binary_focal
from tasks.models.tokens import WeightedSum


class MultiLabel(nn.Module):
    """A logit for each class seen in training, each a question of its own."""

    class_weight_K: Tensor
    positive_weight_K: Tensor

    def __init__(self, config: MultiLabelConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        classes = classes_in(name, label, "a multi_label", "set")
        self.label_smoothing = config.label_smoothing
        self.gamma = config.gamma if config.loss == "focal" else 0.0
        self.linear = nn.Linear(width, len(classes))
        weight_K = given_weight_K(name, config.class_weights, classes)
        self.register_buffer("class_weight_K", weight_K / weight_K.sum())
        self.register_buffer("positive_weight_K", positive_weight_K(name, config.positive_weights, label, classes))

    def forward(self, features: Features) -> Tensor:
        """Float32 logits BK."""
        logits_BK: Tensor = self.linear(features.fused.mean_BD())
        return logits_BK.float()

    def loss(self, logits_BK: Tensor, target_BK: Tensor, weight_B: Tensor) -> WeightedSum:
        """Binary cross-entropy or the focal loss, averaged over classes by their weights. Samples without label (NaN) count nothing."""
        weight_B = self.loss_weight_B(target_BK, weight_B)
        target_BK = target_BK.nan_to_num()
        smooth_BK = target_BK * (1 - self.label_smoothing) + self.label_smoothing / 2
        factor_BK = 1 + target_BK * (self.positive_weight_K - 1)
        each_BK = binary_focal(logits_BK, smooth_BK, self.gamma) * factor_BK
        return WeightedSum(((each_BK * self.class_weight_K).sum(1) * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, target_BK: Tensor, weight_B: Tensor) -> Tensor:
        """What each sample counts in the loss: known before the model runs."""
        return weight_B * ~target_BK[:, 0].isnan()

    def metrics(self, logits_BK: Tensor, target_BK: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        """F1 over all pairs of sample and class (micro), and the share of samples with all classes right; a class is said at 0.5."""
        weight_B = self.loss_weight_B(target_BK, weight_B)
        said_BK, true_BK = logits_BK >= 0, target_BK > 0.5
        both = ((said_BK & true_BK).sum(1) * weight_B).sum()
        return {
            "f1": WeightedSum(2 * both, ((said_BK.sum(1) + true_BK.sum(1)) * weight_B).sum()),
            "exact": WeightedSum(((said_BK == true_BK).all(1) * weight_B).sum(), weight_B.sum()),
        }

    def predict(self, logits_BK: Tensor) -> Tensor:
        """Probabilities BK, each from 0 to 1 by itself, in the order of the classes."""
        return logits_BK.sigmoid()
