from __future__ import annotations

import re

from tasks.evaluation.page.axis import Axis
from tasks.evaluation.page.interval_rows import drawn_interval, points_text, scale, share_text

AXIS = Axis(0.0, 1.0, 0.0, 100.0)


def test_the_dot_is_at_the_value_and_the_whisker_at_its_bounds() -> None:
    drawn = drawn_interval(0.5, [0.25, 0.75], AXIS, "half", mark=0.4)
    assert re.search(r'<circle cx="50.00%"', drawn)
    assert re.search(r'<line x1="25.00%" x2="75.00%"[^>]*class="whisker"', drawn)
    assert re.search(r'<line x1="40.00%" x2="40.00%"[^>]*class="mark"', drawn)
    assert 'aria-label="half"' in drawn


def test_without_an_interval_or_a_mark_neither_is_drawn() -> None:
    drawn = drawn_interval(0.5, None, AXIS, "half")
    assert "whisker" not in drawn
    assert "mark" not in drawn


def test_ticks_are_written_as_shares_or_points() -> None:
    assert [share_text(value) for value in (0.5, 0.975)] == ["50\u202f%", "97.5\u202f%"]
    assert [points_text(value) for value in (0.05, -0.025, 0.0)] == ["+5", "\u22122.5", "0"]
    drawn = scale(AXIS, share_text)
    assert 'text-anchor="start"' in drawn
    assert 'text-anchor="end"' in drawn
