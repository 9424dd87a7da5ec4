"""Token ids, frames or readings to tokens by a GRU or an LSTM. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.models.encoders.config import GruConfig
from tasks.models.encoders.config_sequence import LstmConfig
from tasks.models.encoders.recurrent import Recurrent
from tasks.models.encoders.steps import embed_steps
from tasks.models.tokens import Tokens, valid_BT

CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class Recurrence(nn.Module):
    """One token for each step, in the context of its neighbours."""

    def __init__(self, config: GruConfig | LstmConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.embed = embed_steps(shape, width, config.kind)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(CELLS[config.kind], width, config.layers, config.bidirectional, config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, steps: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        """`steps`: ids BT or features BTF."""
        mask_BT = valid_BT(lengths_B, steps)
        return Tokens(self.norm(self.recurrent(self.dropout(self.embed(steps)), mask_BT)), mask_BT)
