"""Table rows to a token a column. Must not import ray or mlflow.

Shape suffixes: B rows, F columns, N numbers, K categories, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.encoders.columns import codes_BK, columns, num_codes, numbers_BN
from tasks.models.encoders.config_table import FeatureTokensConfig
from tasks.models.encoders.grid import all_valid
from tasks.models.tokens import Tokens


class FeatureTokens(nn.Module):
    """A number scales its column's vector, a category chooses one; each column adds its own. What is not known has a vector too."""

    count_K: Tensor
    """How many values each category has."""

    def __init__(self, config: FeatureTokensConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.numbers, counts = columns(shape, config.kind)
        self.register_buffer("count_K", torch.tensor(counts, dtype=torch.int64), persistent=False)
        bound = width**-0.5  # the paper's: uniform between -1/√width and 1/√width
        self.weight_ND = nn.Parameter(torch.empty(self.numbers, width).uniform_(-bound, bound))
        self.unknown_ND = nn.Parameter(torch.empty(self.numbers, width).uniform_(-bound, bound))
        self.category = nn.Embedding(num_codes(counts), width)
        nn.init.uniform_(self.category.weight, -bound, bound)
        self.bias_FD = nn.Parameter(torch.empty(self.numbers + len(counts), width).uniform_(-bound, bound))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, row_BF: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        number_BN, known_BN = numbers_BN(row_BF, self.numbers)
        number_BND = torch.where(known_BN[..., None], number_BN[..., None] * self.weight_ND, self.unknown_ND)
        category_BKD = self.category(codes_BK(row_BF, self.count_K))
        return all_valid(self.dropout(torch.cat([number_BND, category_BKD], 1) + self.bias_FD))
