"""Blocks that several parts are built of. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, N heads, M modalities, D width (of a head after `unflatten`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.tokens import Tokens


class TransformerBlock(nn.Module):
    """Self-attention and a feed-forward part, each on normed input and added back (pre-norm, arXiv:2002.04745)."""

    def __init__(self, width: int, num_heads: int, dropout: float, expansion: int = 2) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(width)
        self.project_qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.feed_forward = FeedForward(width, dropout, expansion)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Valid positions attend to valid positions alone; each sample needs one."""
        qkv_BTD = self.project_qkv(self.norm_attention(values_BTD))
        query_BNTD, key_BNTD, value_BNTD = qkv_BTD.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_BNTD = F.scaled_dot_product_attention(query_BNTD, key_BNTD, value_BNTD, attn_mask=mask_BT[:, None, None, :])
        attended_BTD: Tensor = self.feed_forward(values_BTD + self.dropout(self.project_out(mixed_BNTD.transpose(1, 2).flatten(2))))
        return attended_BTD


class FeedForward(nn.Module):
    """Two layers on normed input, added back; every token by itself."""

    def __init__(self, width: int, dropout: float, expansion: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width), nn.Dropout(dropout)
        )

    def forward(self, values_BTD: Tensor) -> Tensor:
        change_BTD: Tensor = self.layers(values_BTD)
        return values_BTD + change_BTD


class Pool(nn.Module):
    """One vector for each modality: averages of its valid tokens by learned weights, one for each part of the width."""

    def __init__(self, num_modalities: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Linear(width, num_heads, bias=False) for _ in range(num_modalities))

    def forward(self, tokens: Sequence[Tokens]) -> Tensor:
        """BMD, in the order of `tokens`."""
        return torch.stack([weighted_mean_BD(each, score(each.values_BTD)) for each, score in zip(tokens, self.scores, strict=True)], 1)


def weighted_mean_BD(tokens: Tokens, scores_BTN: Tensor) -> Tensor:
    """Average of the valid tokens, in each of N equal parts of the width by the softmax of its scores."""
    weights_BTN = scores_BTN.masked_fill(~tokens.mask_BT[..., None], -torch.inf).softmax(1)
    values_BTND = tokens.values_BTD.unflatten(-1, (scores_BTN.shape[-1], -1))
    mean_BD: Tensor = (weights_BTN[..., None] * values_BTND).sum(1).flatten(1)
    return mean_BD
