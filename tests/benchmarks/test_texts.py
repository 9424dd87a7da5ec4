"""What the benchmarks of texts state: rates over a whole split, intervals over groups, and differences of one way from another, paired."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks import captioning
from benchmarks.texts import difference, rates
from tasks.evaluation.texts import character_error_rate, exact_match

TRUE = ["abcd", "ab", "abcd", "abc"]
GROUPS = ["x", "x", "y", "z"]


def test_a_rate_is_over_all_samples_and_its_interval_over_groups() -> None:
    entries, drawn = rates(TRUE, {"nothing": [""] * 4, "half": ["ab", "ab", "ab", "abc"], "all": TRUE}, GROUPS, character_error_rate)
    assert [entries[way]["median"] for way in entries] == [1.0, round(4 / 13, 4), 0.0]
    assert (entries["nothing"]["low"], entries["nothing"]["high"]) == (1.0, 1.0)
    assert (entries["half"]["low"], entries["half"]["high"]) == (0.0, 0.5)  # z alone, and y alone
    apart = difference("half", "nothing", entries, drawn)
    assert apart["median"] == pytest.approx(4 / 13 - 1, abs=1e-4)
    assert (apart["low"], apart["high"]) == (-1.0, -0.5)
    np.testing.assert_array_equal(drawn["all"], 0.0)


def test_exact_matches_are_counted_over_all_samples() -> None:
    assert rates(TRUE, {"some": ["abcd", "", "abcd", ""]}, GROUPS, exact_match)[0]["some"]["median"] == 0.5


def test_the_commonest_caption_is_that_of_the_samples_own_language(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"train": ["a/es", "b/es", "c/es", "a/ro"], "test": ["d/ro", "d/es"]}
    of = cast(Any, SimpleNamespace(shards=SimpleNamespace(keys=lambda split: keys[split])))
    monkeypatch.setattr(captioning, "true_texts", lambda _, split: {"train": ["un", "otro", "un", "alt"]}[split])
    assert captioning.commonest(of) == ["alt", "un"]
