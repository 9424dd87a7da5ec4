"""Blocks that several parts are built of. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, N heads, D width (of a head after `unflatten`).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


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
