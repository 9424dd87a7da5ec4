"""The learned factor of similarities. Must not import ray or mlflow."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """A positive number, learned as its logarithm and never above `largest`.

    The logarithm itself is cut, as CLIP does: cutting the number instead would leave it without gradient once it is too large.
    """

    def __init__(self, start: float, largest: float) -> None:
        super().__init__()
        self.largest = math.log(largest)
        self.log = nn.Parameter(torch.tensor(min(math.log(start), self.largest)))

    def forward(self) -> Tensor:
        with torch.no_grad():
            self.log.clamp_(max=self.largest)
        return self.log.exp()
