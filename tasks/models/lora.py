"""Low-rank adaptation of linear layers (LoRA, arXiv:2106.09685). Must not import ray or mlflow.

y = W x + b + (alpha / rank) · U D x, with D random and U zero at the beginning, so that the first step starts from the given model. W and b
keep their names among the weights; `merged` adds the product to W, so that a saved model knows nothing of it.

Shape suffixes: R rank, I features in, O features out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DOWN, UP = "lora_down_RI", "lora_up_OR"


class LoraLinear(nn.Linear):
    """A linear layer whose weight and bias are frozen, with what it learns beside them."""

    def __init__(self, given: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = given.in_features, given.out_features
        self.weight, self.bias = given.weight, given.bias
        self.scale = alpha / rank
        self.lora_dropout = nn.Dropout(dropout)
        self.lora_down_RI = nn.Parameter(torch.empty(rank, given.in_features))
        nn.init.kaiming_uniform_(self.lora_down_RI, a=math.sqrt(5))
        self.lora_up_OR = nn.Parameter(torch.zeros(given.out_features, rank))

    def forward(self, values: Tensor) -> Tensor:
        learned = F.linear(F.linear(self.lora_dropout(values), self.lora_down_RI), self.lora_up_OR)
        return F.linear(values, self.weight, self.bias) + self.scale * learned


def adapt(part: nn.Module, rank: int, alpha: float, dropout: float) -> int:
    """Freeze a part and put a `LoraLinear` in the place of each linear layer in it; returns how many there were.

    A layer of a subclass is left alone: what holds it may read its weight past `forward`, as torch's attention does. So is one whose weight
    rests already: that of a pooler, which no token comes from, or of an encoder with `tune: false`.
    """
    found = list(_linear(part))
    part.requires_grad_(requires_grad=False)
    for owner, name, layer in found:
        setattr(owner, name, LoraLinear(layer, rank, alpha, dropout))
    return len(found)


def merged(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The weights of the model without LoRA that gives the same. `scale`: alpha / rank."""
    found = {name: value for name, value in weights.items() if not name.endswith((DOWN, UP))}
    for name, up_OR in weights.items():
        if name.endswith(UP):
            layer = name.removesuffix(UP)
            found[f"{layer}weight"] = weights[f"{layer}weight"] + scale * (up_OR @ weights[f"{layer}{DOWN}"])
    return found


def _linear(part: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for owner in part.modules():
        for name, layer in owner.named_children():
            if type(layer) is nn.Linear and layer.weight.requires_grad:
                yield owner, name, layer
