"""The columns of a table row: numbers first, then the codes of categories. Must not import ray or mlflow.

A row is float BF. A number that is not known is NaN; a category is 0, 1, … as the shape counts them, and NaN or any other code is "not
known". Shape: `numbers` and `categories` count the columns, `category_0`, `category_1`, … the values of each category.

Shape suffixes: B rows, F columns, N numbers, K categories, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tasks.errors import InputError
from tasks.models.tokens import need


def columns(shape: Mapping[str, int], kind: str) -> tuple[int, tuple[int, ...]]:
    """How many numbers, and how many values each category has. Raises InputError for another medium, or a table without a column."""
    numbers, categories = need(shape, ("numbers", "categories"), kind)
    if not numbers + categories:
        raise InputError(f"encoder {kind!r}: the table has no column; name at least one number or category")
    return numbers, need(shape, tuple(f"category_{place}" for place in range(categories)), kind)


def numbers_BN(row_BF: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The numbers, 0 where one is not known, and whether each is known."""
    known_BN = row_BF[:, :count].isfinite()
    return torch.where(known_BN, row_BF[:, :count], 0.0), known_BN


def codes_BK(row_BF: Tensor, count_K: Tensor) -> Tensor:
    """Places in one embedding of all: each category has one for each of its `count_K` values, and a last one for "not known"."""
    given_BK = row_BF[:, row_BF.shape[1] - len(count_K) :]
    known_BK = (given_BK >= 0) & (given_BK < count_K)
    code_BK = torch.where(known_BK, given_BK, 0.0).long()
    start_K = torch.cumsum(count_K + 1, 0) - count_K - 1
    return torch.where(known_BK, code_BK, count_K) + start_K


def num_codes(counts: tuple[int, ...]) -> int:
    """Places that `codes_BK` counts."""
    return sum(counts) + len(counts)
