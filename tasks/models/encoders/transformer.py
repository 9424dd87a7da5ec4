"""Token ids, frames or readings to tokens by self-attention. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.models.blocks import TransformerBlock
from tasks.models.encoders.config_sequence import TransformerConfig
from tasks.models.encoders.steps import check_heads, embed_steps, positions_TD, wiped
from tasks.models.tokens import Tokens, valid_BT


class Transformer(nn.Module):
    """One token for each step, in the context of all."""

    def __init__(self, config: TransformerConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.embed = embed_steps(shape, width, config.kind)
        check_heads(width, config.num_heads, config.kind)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, config.num_heads, config.dropout, config.expansion) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, steps: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        """`steps`: ids BT or features BTF."""
        mask_BT = valid_BT(lengths_B, steps)
        values_BTD = self.embed(wiped(steps, mask_BT) if steps.is_floating_point() else steps)
        values_BTD = self.dropout(values_BTD + positions_TD(values_BTD))
        for block in self.blocks:
            values_BTD = block(values_BTD, mask_BT)
        return Tokens(self.norm(values_BTD), mask_BT)
