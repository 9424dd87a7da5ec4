"""Table rows to one token each. Must not import ray or mlflow.

Shape suffixes: B rows, F columns, N numbers, K categories, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from tasks.models.encoders.columns import codes_BK, columns, num_codes, numbers_BN
from tasks.models.encoders.config_table import MlpConfig
from tasks.models.encoders.grid import all_valid
from tasks.models.tokens import Tokens


class Mlp(nn.Module):
    """Numbers, a flag for each that is not known, and embedded categories go through the layers together."""

    count_K: Tensor
    """How many values each category has."""

    def __init__(self, config: MlpConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.numbers, counts = columns(shape, config.kind)
        self.register_buffer("count_K", torch.tensor(counts, dtype=torch.int64), persistent=False)
        self.category = nn.Embedding(num_codes(counts), config.category)
        sizes = (2 * self.numbers + len(counts) * config.category, *config.hidden)
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Linear(before, after), nn.GELU(), nn.Dropout(config.dropout)) for before, after in pairwise(sizes)),
            nn.Linear(sizes[-1], width),
            nn.LayerNorm(width),
        )

    def forward(self, row_BF: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        number_BN, known_BN = numbers_BN(row_BF, self.numbers)
        category_BD = self.category(codes_BK(row_BF, self.count_K)).flatten(1)
        return all_valid(self.layers(torch.cat([number_BN, (~known_BN).to(number_BN.dtype), category_BD], 1))[:, None])
