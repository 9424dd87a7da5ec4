"""Token ids to tokens by convolutions over words. Must not import ray or mlflow.

Shape suffixes: B samples, T words, C channels, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.encoders.config_sequence import TextCnnConfig
from tasks.models.encoders.grid import all_valid
from tasks.models.tokens import Tokens, need, valid_BT


class TextCnn(nn.Module):
    """Filters of several widths side by side. Words beyond the end are zeros, also where they are padding."""

    def __init__(self, config: TextCnnConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (vocab_size,) = need(shape, ("vocab_size",), config.kind)
        self.pool = config.pool
        self.embed = nn.Embedding(vocab_size, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, config.channels, words, padding=words // 2) for words in config.widths)
        self.project = nn.Linear(config.channels * len(config.widths), width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids_BT: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, ids_BT)
        words_BDT = Tokens(self.dropout(self.embed(ids_BT)), mask_BT).masked().values_BTD.transpose(1, 2)
        found_BTC = torch.cat([F.relu(convolve(words_BDT)) for convolve in self.convolutions], 1).transpose(1, 2)
        if self.pool:
            largest_BC = found_BTC.masked_fill(~mask_BT[..., None], 0.0).amax(1)  # after the ReLU nothing is below zero
            return all_valid(self.norm(self.project(self.dropout(largest_BC)))[:, None])
        return Tokens(self.norm(self.project(self.dropout(found_BTC))), mask_BT)
