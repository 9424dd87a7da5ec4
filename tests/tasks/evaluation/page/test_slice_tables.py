from __future__ import annotations

import re
from typing import Any

import pytest

from tasks.evaluation.page.slice_tables import MAX_ROWS, differences_section, slices_section
from tests.tasks.evaluation.example import example, report_of


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return report_of(example())


def body(table: str) -> list[str]:
    return re.findall(r"<tr>.*?</tr>", re.findall(r"<tbody>.*?</tbody>", table)[0])


def test_each_column_is_a_table_with_a_row_a_value(report: dict[str, Any]) -> None:
    drawn = slices_section("digit", report)
    assert drawn is not None
    tables = re.findall(r"<table.*?</table>", drawn)
    assert len(tables) == 2
    for table, (column, values) in zip(tables, report["slices"].items(), strict=True):
        rows = body(table)
        assert len(rows) == len(values)
        for row, (value, entry) in zip(rows, values.items(), strict=True):
            assert f'<th scope="row">{value}</th>' in row
            assert f">{100 * entry['heads']['digit']['accuracy']:.1f}\u202f%<" in row
            assert row.count('class="mark"') == 1
        assert column in drawn
    assert "12 samples have no value." in tables[0]
    assert "Cut into 4 parts at the quantiles of these samples." in tables[1]


def test_differences_say_which_direction_is_better(report: dict[str, Any]) -> None:
    digit, height = (differences_section(head, report) for head in ("digit", "height"))
    assert digit is not None
    assert height is not None
    assert "above zero the candidate is better" in digit
    assert "below zero the candidate is better" in height
    first = next(iter(report["slices"]["voice"].values()))["heads"]["digit"]
    assert f"{100 * first['accuracy']:.1f}\u202f% / {100 * first['baseline_accuracy']:.1f}\u202f%" in digit


def test_without_slices_or_baseline_there_is_no_table(report: dict[str, Any]) -> None:
    assert slices_section("digit", report | {"slices": {}}) is None
    entry = {"n": 3, "groups": 3, "heads": {"digit": {"metric": "accuracy", "samples": 3, "accuracy": 1.0, "interval": None}}}
    alone = report | {"slices": {"voice": {"a": entry}}}
    assert differences_section("digit", alone) is None
    assert "\u2013" in (slices_section("digit", alone) or "")


def test_a_column_of_very_many_values_is_cut_short(report: dict[str, Any]) -> None:
    entry = next(iter(report["slices"]["voice"].values()))
    many = report | {"slices": {"voice": {f"value {number}": entry for number in range(MAX_ROWS + 5)}}}
    drawn = slices_section("digit", many) or ""
    assert len(body(drawn)) == MAX_ROWS
    assert "The first 60 of 65 slices; all are in report.json." in drawn
