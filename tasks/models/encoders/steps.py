"""Steps of a sequence to vectors of the model's width: token ids by an embedding, features by a projection. Must not import ray or mlflow.

Shape suffixes: B samples, T steps, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.errors import InputError
from tasks.models.tokens import need


def embed_steps(shape: Mapping[str, int], width: int, kind: str) -> nn.Module:
    """Takes ids BT or features BTF, as the reader gives them."""
    if "features" in shape:
        return nn.Linear(need(shape, ("features",), kind)[0], width)
    return nn.Embedding(need(shape, ("vocab_size",), kind)[0], width)


def wiped(values: Tensor, mask_BT: Tensor) -> Tensor:
    """The same with zeros behind the mask, since attention that gives a NaN no weight gives NaN. `values`: float BT…."""
    return torch.where(mask_BT.view(*mask_BT.shape, *[1] * (values.ndim - 2)), values, 0.0)


def positions_TD(like_BTD: Tensor) -> Tensor:
    """Sines and cosines of the place (arXiv:1706.03762), for any number of steps and any even or odd width."""
    _, steps, width = like_BTD.shape
    place_T1 = torch.arange(steps, device=like_BTD.device, dtype=torch.float32)[:, None]
    frequency_D = torch.exp(torch.arange(0, width, 2, device=like_BTD.device) * (-math.log(10_000.0) / width))
    waves_TD = torch.stack([(place_T1 * frequency_D).sin(), (place_T1 * frequency_D).cos()], -1).flatten(1)[:, :width]
    return waves_TD.to(like_BTD.dtype)


def check_heads(width: int, num_heads: int, kind: str) -> None:
    """Raises InputError when the width can't be shared among the heads."""
    if width % num_heads:
        raise InputError(
            f"encoder {kind!r}: the model's width ({width}) is not a multiple of `num_heads` ({num_heads}); change one of them"
        )
