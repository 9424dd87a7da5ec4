from __future__ import annotations

import pytest

from tasks.evaluation.page import figures


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.123456, "0.123"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (-0.5, "\u22120.500"),
        (0.00002, "2.00e\u221205"),
        (None, "\u2013"),
    ],
)
def test_plain_numbers_have_three_significant_digits(value: float | None, written: str) -> None:
    assert figures.plain(value) == written


def test_a_difference_has_a_true_sign_and_zero_has_none() -> None:
    assert figures.points(0.0421) == "+4.2"
    assert figures.points(-0.0421) == "\u22124.2"
    assert figures.points(-0.0001) == "0.0"
    assert figures.points_range(None) == "\u2013"


def test_shares_and_sizes() -> None:
    assert figures.percent(0.9245) == "92.5\u202f%"
    assert figures.percent(float("nan")) == "\u2013"
    assert figures.num_bytes(999) == "999\u202fB"
    assert figures.num_bytes(1_530_000) == "1.5\u202fMB"
    assert figures.num_bytes(4.2e15) == "4200\u202fTB"


def test_small_p_values_are_bounds() -> None:
    assert figures.p_value(1e-9) == "p < 0.0001"
    assert figures.p_value(0.0312) == "p = 0.031"
