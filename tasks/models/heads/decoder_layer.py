"""One layer of a decoder: attention to what was said, attention to the sample, feed-forward. Must not import ray or mlflow.

Shape suffixes: B samples, S tokens said now, P tokens said before and now, T tokens of the sample, N heads, D width (of a head behind N).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.blocks import FeedForward

Pair = tuple[Tensor, Tensor]
"""Keys and values, each B N P D or B N T D."""


class DecoderLayer(nn.Module):
    """Each part on normed input and added back."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_said, self.norm_sample = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project_qkv = nn.Linear(width, 3 * width)
        self.project_said = nn.Linear(width, width)
        self.project_query = nn.Linear(width, width)
        self.project_about = nn.Linear(width, 2 * width)
        self.project_sample = nn.Linear(width, width)
        self.feed_forward = FeedForward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def about(self, values_BTD: Tensor) -> Pair:
        """Keys and values of the sample's tokens: the same for all that is said about it."""
        key_BNTD, value_BNTD = self._heads(self.project_about(values_BTD), 2)
        return key_BNTD, value_BNTD

    def forward(self, values_BSD: Tensor, past: Pair | None, about: Pair, mask_BT: Tensor) -> tuple[Tensor, Pair]:
        """The tokens said now, and keys and values of all so far. Each sees itself, those before it, and the sample's valid tokens."""
        query_BNSD, key_BNPD, value_BNPD = self._heads(self.project_qkv(self.norm_said(values_BSD)), 3)
        if past is not None:
            key_BNPD, value_BNPD = torch.cat([past[0], key_BNPD], 2), torch.cat([past[1], value_BNPD], 2)
        now, so_far = query_BNSD.shape[2], key_BNPD.shape[2]
        place_P = torch.arange(so_far, device=values_BSD.device)
        said_SP = place_P <= place_P[so_far - now :, None]
        mixed_BNSD = F.scaled_dot_product_attention(query_BNSD, key_BNPD, value_BNPD, attn_mask=said_SP)
        values_BSD = values_BSD + self.dropout(self.project_said(mixed_BNSD.transpose(1, 2).flatten(2)))
        (query_BNSD,) = self._heads(self.project_query(self.norm_sample(values_BSD)), 1)
        mixed_BNSD = F.scaled_dot_product_attention(query_BNSD, *about, attn_mask=mask_BT[:, None, None, :])
        values_BSD = values_BSD + self.dropout(self.project_sample(mixed_BNSD.transpose(1, 2).flatten(2)))
        return self.feed_forward(values_BSD), (key_BNPD, value_BNPD)

    def _heads(self, values_BSD: Tensor, parts: int) -> tuple[Tensor, ...]:
        each: tuple[Tensor, ...] = values_BSD.unflatten(-1, (parts, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return each
