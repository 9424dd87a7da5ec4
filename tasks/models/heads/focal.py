"""Focal loss, FL = −(1 − p)^γ log p: what a model is sure of counts less (arXiv:1708.02002). Must not import ray or mlflow.

Computed in float32 from logits, by logarithms, so that no logit is too large. γ = 0 is cross-entropy. Targets may be soft: each class then
counts by its share of the target, as in `torch.nn.functional.cross_entropy` with `label_smoothing`.

Shape suffixes: B samples, K classes.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def focal_B(logits_BK: Tensor, class_B: Tensor, gamma: float, label_smoothing: float = 0.0, weight_K: Tensor | None = None) -> Tensor:
    """Of one class among K, each times its weight."""
    log_BK = logits_BK.log_softmax(-1)
    each_BK = -((-log_BK.expm1()).clamp(min=_SMALLEST) ** gamma) * log_BK
    each_BK = each_BK if weight_K is None else each_BK * weight_K
    own_B = each_BK.gather(1, class_B[:, None]).squeeze(1)
    return own_B if not label_smoothing else (1 - label_smoothing) * own_B + label_smoothing * each_BK.mean(1)


def binary_focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Of each number by itself; `target` is 0 to 1, of the same shape."""
    log_yes, log_no = F.logsigmoid(logits), F.logsigmoid(-logits)
    yes, no = (gamma * log_no).exp() * log_yes, (gamma * log_yes).exp() * log_no
    return -(target * yes + (1 - target) * no)


_SMALLEST = 1e-12
"""A power below 1 has no gradient at 0."""
