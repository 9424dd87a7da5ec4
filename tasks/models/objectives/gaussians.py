"""Normal distributions with independent numbers: their product, and how far one is from the standard one. Must not import ray or mlflow.

Shape suffixes: B samples, M experts, E numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product(mean_BME: Tensor, log_variance_BME: Tensor, counts_BM: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance, BE, of the standard normal times the experts that count (arXiv:1802.05335).

    Precisions add up, the prior's 1 among them, and the mean is that of the means weighted by precision. Without an expert it is the prior.
    """
    precision_BME = torch.where(counts_BM[..., None], (-log_variance_BME).exp(), 0.0)
    precision_BE = 1 + precision_BME.sum(1)
    return (precision_BME * mean_BME).sum(1) / precision_BE, -precision_BE.log()


def divergence_B(mean_BE: Tensor, log_variance_BE: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the standard normal, in nats, summed over E."""
    return (mean_BE.square() + log_variance_BE.exp() - 1 - log_variance_BE).sum(-1) / 2
