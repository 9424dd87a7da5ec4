"""Token ids to tokens by embedding and GRU. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.models.encoders.config import GruConfig
from tasks.models.encoders.recurrent import Recurrent
from tasks.models.tokens import Tokens, need, valid_BT


class Gru(nn.Module):
    """One token for each token id, in the context of its neighbours."""

    def __init__(self, config: GruConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (vocab_size,) = need(shape, ("vocab_size",), config.kind)
        self.embed = nn.Embedding(vocab_size, width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(nn.GRU, width, config.layers, config.bidirectional, config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, ids_BT: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, ids_BT)
        return Tokens(self.norm(self.recurrent(self.dropout(self.embed(ids_BT)), mask_BT)), mask_BT)
