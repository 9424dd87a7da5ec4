"""docs/losses.md and docs/encoders.md have a row for every combination that the code refuses."""

from __future__ import annotations

import pytest

from tasks.models.combinations import ENCODING, LEARNING
from tasks.training.combinations import COMBINATIONS
from tests.conftest import ROOT


def rows_behind(page: str, line: str) -> int:
    """Rows of the first table behind a line that begins so, without its own two."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert f"\n{line}" in text
    return len(text.partition(f"\n{line}")[2].partition("\n|")[2].partition("\n\n")[0].splitlines()) - 2


@pytest.mark.parametrize(
    ("page", "line", "count"),
    [
        ("losses.md", "Of heads and objectives:", len(LEARNING)),
        ("losses.md", "Of a training:", len(COMBINATIONS)),
        ("encoders.md", "## What cannot work", len(ENCODING)),
    ],
)
def test_a_page_has_a_row_for_each_combination_that_is_refused(page: str, line: str, count: int) -> None:
    assert rows_behind(page, line) == count
