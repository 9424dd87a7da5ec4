"""Encoders of table rows: columns, what is not known, and tables of one sort of column."""

from __future__ import annotations

import pytest
import torch

from tasks.errors import InputError
from tasks.models.encoders.columns import codes_BK, columns, num_codes
from tests.tasks.models.encoders.example import SHAPES, encoder, values

KINDS = ["mlp", "feature_tokens"]


def test_each_category_has_places_of_its_own_and_one_for_what_is_not_known() -> None:
    row_BF = torch.tensor([[9.0, 0, 0], [9.0, 3, 2], [9.0, 4, -1], [9.0, torch.nan, 1]])
    assert codes_BK(row_BF, torch.tensor([4, 3])).tolist() == [[0, 5], [3, 7], [4, 8], [4, 6]]
    assert num_codes((4, 3)) == 9


def test_a_number_scales_the_vector_of_its_column() -> None:
    built, row = encoder("feature_tokens", "table"), torch.tensor([[2.0, 0.0, -1.0, 1, 2]])
    token_FD = built(row).values_BTD[0]
    torch.testing.assert_close(token_FD[0], 2 * built.weight_ND[0] + built.bias_FD[0])
    torch.testing.assert_close(token_FD[1], built.bias_FD[1])
    torch.testing.assert_close(token_FD[4], built.category.weight[5 + 2] + built.bias_FD[4])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_known_is_told_from_zero_and_from_every_value(kind: str) -> None:
    built = encoder(kind, "table")
    rows = torch.tensor([[0.0, 1, 1, 0, 0], [torch.nan, 1, 1, 0, 0], [0.0, 1, 1, torch.nan, 0]])
    answers = built(rows).values_BTD.flatten(1)
    assert answers.isfinite().all()
    assert not any(torch.equal(answers[one], answers[other]) for one, other in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_that_is_not_known_gives_finite_gradients(kind: str) -> None:
    built, row = encoder(kind, "table").train(), values("table").values.clone()
    row[:, 0] = torch.nan
    built(row).values_BTD.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in built.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [{"numbers": 3, "categories": 0}, {"numbers": 0, "categories": 1, "category_0": 2}])
def test_a_table_of_one_sort_of_column_is_taken(monkeypatch: pytest.MonkeyPatch, kind: str, shape: dict[str, int]) -> None:
    monkeypatch.setitem(SHAPES, "table", shape)
    built = encoder(kind, "table")
    tokens = built(torch.ones(2, shape["numbers"] + shape["categories"]))
    tokens.values_BTD.square().sum().backward()
    assert tokens.values_BTD.isfinite().all()
    assert all(parameter.grad is not None for parameter in built.parameters() if parameter.numel())


def test_a_table_without_columns_or_counts_is_refused() -> None:
    with pytest.raises(InputError, match="the table has no column"):
        columns({"numbers": 0, "categories": 0}, "mlp")
    with pytest.raises(InputError, match="encoder 'mlp' needs category_0, category_1"):
        columns({"numbers": 0, "categories": 2, "category_0": 3}, "mlp")
