"""Run ids: what is sorted by name is sorted by time."""

from __future__ import annotations

import re

import pytest

from pipeline import journal


def test_runs_begun_within_one_second_sort_in_the_order_they_began(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [1_700_000_000.0 + step / 100 for step in range(250)]
    waiting = iter(moments)
    monkeypatch.setattr(journal.time, "time", lambda: next(waiting))
    names = [journal.new_run_id() for _ in moments]
    assert names == sorted(names)
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", name) for name in names)
