"""Spectral frames to tokens by attention and convolution in turn. Must not import ray or mlflow.

The blocks are torchaudio's, whose convolution looks at padding and whose norm is over the batch or over time; here neither padding nor
another sample is seen. Shape suffixes: B samples, T frames, later tokens, F features of a frame, N heads, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.encoders.config_sequence import ConformerConfig
from tasks.models.encoders.spectral import Spectral
from tasks.models.encoders.steps import check_heads, positions_TD
from tasks.models.tokens import Tokens, need, valid_BT


class Conformer(nn.Module):
    """Two convolutions thin the frames four to one; then the blocks."""

    def __init__(self, config: ConformerConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (features,) = need(shape, ("features",), config.kind)
        check_heads(width, config.num_heads, config.kind)
        self.spectral = Spectral(features, (config.channels, config.channels), 2, width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            ConformerBlock(width, config.num_heads, config.expansion, config.kernel, config.dropout) for _ in range(config.layers)
        )

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        values_BTD, mask_BT = self.spectral(frames_BTF, valid_BT(lengths_B, frames_BTF))
        values_BTD = self.dropout(values_BTD + positions_TD(values_BTD))
        for block in self.blocks:
            values_BTD = block(values_BTD, mask_BT)
        return Tokens(values_BTD, mask_BT)


class ConformerBlock(nn.Module):
    """Half a feed-forward part, attention, convolution, the other half, norm (arXiv:2005.08100)."""

    def __init__(self, width: int, num_heads: int, expansion: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.before = _feed_forward(width, expansion, dropout)
        self.norm_attention = nn.LayerNorm(width)
        self.project_qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.norm_convolution = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm_depthwise = nn.LayerNorm(width)
        self.contract = nn.Linear(width, width)
        self.after = _feed_forward(width, expansion, dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Valid steps of the result depend on valid steps alone; each sample needs one."""
        values_BTD = values_BTD + 0.5 * self.before(values_BTD)
        qkv_BTD = self.project_qkv(self.norm_attention(values_BTD))
        query_BNTD, key_BNTD, value_BNTD = qkv_BTD.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_BNTD = F.scaled_dot_product_attention(query_BNTD, key_BNTD, value_BNTD, attn_mask=mask_BT[:, None, None, :])
        values_BTD = values_BTD + self.dropout(self.project_out(mixed_BNTD.transpose(1, 2).flatten(2)))
        gated_BTD = F.glu(self.expand(self.norm_convolution(values_BTD)), -1)
        near_BTD = self.depthwise(torch.where(mask_BT[..., None], gated_BTD, 0.0).transpose(1, 2)).transpose(1, 2)
        values_BTD = values_BTD + self.dropout(self.contract(F.silu(self.norm_depthwise(near_BTD))))
        result_BTD: Tensor = self.norm(values_BTD + 0.5 * self.after(values_BTD))
        return result_BTD


def _feed_forward(width: int, expansion: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, expansion * width),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(expansion * width, width),
        nn.Dropout(dropout),
    )
