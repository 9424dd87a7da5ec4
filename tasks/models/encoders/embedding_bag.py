"""Token ids to one token, the mean of their vectors. Must not import ray or mlflow.

Shape suffixes: B samples, T words, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.models.encoders.config_sequence import EmbeddingBagConfig
from tasks.models.encoders.grid import all_valid
from tasks.models.tokens import Tokens, need, valid_BT


class EmbeddingBag(nn.Module):
    """A bag of words: what is said, not in which order."""

    def __init__(self, config: EmbeddingBagConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (vocab_size,) = need(shape, ("vocab_size",), config.kind)
        self.embed = nn.Embedding(vocab_size, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids_BT: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mean_BD = Tokens(self.embed(ids_BT), valid_BT(lengths_B, ids_BT)).mean_BD()
        return all_valid(self.dropout(self.norm(mean_BD))[:, None])
