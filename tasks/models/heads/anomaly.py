"""Head that says how strange a sample is. It learns without labels. Must not import ray or mlflow.

A Gaussian with a full covariance is fitted to the fused features, and the score is the squared Mahalanobis distance from its middle, over
the number of features: about 1 for samples as training shows them (arXiv:1807.03888, with one class). The features are taken as they are,
without a gradient to them. So nothing can collapse, which is what happens to a loss that pulls learned features together (Deep SVDD) or
foretells them (reconstruction of tokens), since features that are all the same fulfil it. Other heads or objectives must shape them.

The fit is by gradient, so that it is the same on any number of ranks and parts of a batch. Each feature is foretold from those before it,
and what is left has a deviation (the modified Cholesky form of Σ⁻¹): the negative log-likelihood has one minimum. Weights are kept in
twentieths, so that an optimizer's usual step, 0.001, moves the logarithm of a deviation by 0.02, and a few hundred steps are enough.

It sees what a training shows: features with dropout, and without modalities that are hidden. So it is wider than one fitted afterwards, and
finds less, and a missing modality alone is not strange.

Shape suffixes: B samples, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.contracts import Features
from tasks.models.heads.config_labels import AnomalyConfig
from tasks.models.tokens import WeightedSum

PACE = 20.0


class Anomaly(nn.Module):
    """What a normed feature has beyond what those before it foretell, in deviations. Samples without any label count as all others."""

    def __init__(self, config: AnomalyConfig, name: str, label: Mapping[str, Any], width: int) -> None:  # noqa: ARG002
        super().__init__()
        self.highest = -math.log(config.min_deviation)
        self.foretelling_DD = nn.Parameter(torch.zeros(width, width))
        self.logarithm_D = nn.Parameter(torch.zeros(width))
        self.bias_D = nn.Parameter(torch.zeros(width))

    def forward(self, features: Features) -> Tensor:
        """Float32 BD: what a usual sample has of mean 0 and deviation 1, without correlations."""
        fused_BD = features.fused.mean_BD().detach().float()
        normed_BD = F.layer_norm(fused_BD, fused_BD.shape[-1:])
        with torch.autocast(fused_BD.device.type, enabled=False):
            beyond_BD = normed_BD - normed_BD @ _paced(self.foretelling_DD).tril(-1).T - _paced(self.bias_D)
            white_BD: Tensor = beyond_BD * self._logarithm_D().exp()
        # Data-parallel training waits for gradients of all parameters, fusion and trunk too, which nothing else may reach: these are zeros.
        return white_BD + features.fused.mean_BD().float().sum(1, keepdim=True) * 0

    def loss(self, white_BD: Tensor, target: None, weight_B: Tensor) -> WeightedSum:
        """Negative log-likelihood a feature, from the least it can be, so that it is never below 0."""
        each_B = white_BD.square().mean(1) / 2 + (self.highest - self._logarithm_D()).mean()
        weight_B = self.loss_weight_B(target, weight_B)
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, target: None, weight_B: Tensor) -> Tensor:  # noqa: ARG002
        """Every sample counts one."""
        return weight_B

    def metrics(self, white_BD: Tensor, target: None, weight_B: Tensor) -> dict[str, WeightedSum]:  # noqa: ARG002
        """The mean score, which is 1 where samples are as those of training."""
        return {"score": WeightedSum((self.predict(white_BD) * weight_B).sum(), weight_B.sum())}

    def predict(self, white_BD: Tensor) -> Tensor:
        """B: the score; higher is stranger."""
        return white_BD.square().mean(1)

    def _logarithm_D(self) -> Tensor:
        """Of one over the deviations, which are at least `min_deviation`."""
        return self.highest - F.softplus(self.highest - _paced(self.logarithm_D))


def _paced(weights: Tensor) -> Tensor:
    """`PACE` times the weights. Their gradient is made smaller and not larger by it, so that the rest of the model is not clipped for it;
    the steps of Adam are the same for a gradient of any size.
    """
    return weights / PACE + (weights * (PACE - 1 / PACE)).detach()
