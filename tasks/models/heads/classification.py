"""Head for a label with classes. Must not import ray or mlflow.

Shape suffixes: B samples, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.errors import LabelError
from tasks.models.contracts import Features
from tasks.models.heads.config import ClassificationConfig
from tasks.models.tokens import WeightedSum
from tasks.registry import closest

NO_LABEL = -1


class Classification(nn.Module):
    """Logits over the classes seen in training."""

    class_weight_K: Tensor

    def __init__(self, config: ClassificationConfig, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        classes = _classes(name, label)
        for unknown in sorted(set(config.class_weights) - set(classes)):
            hint = closest(unknown, classes)
            raise LabelError(
                f"head {name!r}: `class_weights` names {unknown!r}, no class of the label{hint}; classes: {', '.join(classes[:20])}"
            )
        self.label_smoothing = config.label_smoothing
        self.linear = nn.Linear(width, len(classes))
        self.register_buffer("class_weight_K", torch.tensor([config.class_weights.get(each, 1.0) for each in classes]))

    def forward(self, features: Features) -> Tensor:
        """Float32 logits BK."""
        logits_BK: Tensor = self.linear(features.fused.mean_BD())
        return logits_BK.float()

    def loss(self, logits_BK: Tensor, target_B: Tensor, weight_B: Tensor) -> WeightedSum:
        """Cross-entropy; a class weight counts in both sums, as in `torch.nn.CrossEntropyLoss`. Samples without label count nothing."""
        known_B = target_B.clamp(min=0)
        each_B = F.cross_entropy(logits_BK, known_B, reduction="none", label_smoothing=self.label_smoothing)
        weight_B = self.loss_weight_B(target_B, weight_B)
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, target_B: Tensor, weight_B: Tensor) -> Tensor:
        """What each sample counts in the loss: known before the model runs."""
        return weight_B * (target_B != NO_LABEL) * self.class_weight_K[target_B.clamp(min=0)]

    def metrics(self, logits_BK: Tensor, target_B: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        weight_B = weight_B * (target_B != NO_LABEL)
        return {"accuracy": WeightedSum(((logits_BK.argmax(-1) == target_B) * weight_B).sum(), weight_B.sum())}

    def predict(self, logits_BK: Tensor) -> Tensor:
        """Probabilities BK in the order of the label's classes."""
        return logits_BK.softmax(-1)


def _classes(name: str, label: Mapping[str, Any]) -> list[str]:
    if label.get("kind") != "category":
        raise LabelError(
            f"head {name!r} is a classification, but its label is a number; "
            "use `kind: regression`, or make the label a category when ingesting"
        )
    if not label.get("classes"):
        raise LabelError(
            f"head {name!r}: no sample of the split 'train' carries this label; leave the head out, or split the corpus otherwise"
        )
    return list(label["classes"])
