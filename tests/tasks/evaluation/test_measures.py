"""The table of metrics is whole: each kind of head has a first metric; all can be computed, and those that may decide have parts."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.evaluation.measures import MEASURED, SAYS, UNMEASURED, kind_of
from tasks.evaluation.scorer import scorer_class
from tasks.evaluation.scoring import is_of_sums, parts_of, value_of_columns
from tasks.gating.metrics import measure_of
from tasks.models.heads import HEADS

SCORED = [kind for kind, measured in MEASURED.items() if measured.scorer]


@pytest.mark.parametrize("kind", HEADS)
def test_every_kind_of_head_is_measured(kind: str) -> None:
    assert kind_of(kind) in MEASURED
    assert kind_of(kind) in SAYS


def test_a_head_of_the_users_own_is_not() -> None:
    assert kind_of("my_heads:Mine") == UNMEASURED


@pytest.mark.parametrize("kind", SCORED)
def test_every_metric_of_a_scorer_is_computed_and_every_gated_one_has_parts(kind: str) -> None:
    scorer = scorer_class(kind)
    for measure in MEASURED[kind].measures:
        assert is_of_sums(kind, measure) or measure.name in scorer.weighted, measure.name
        assert not measure.gated or is_of_sums(kind, measure) or measure.name in scorer.parts, measure.name
        assert bool(measure.above) is bool(measure.below)


def test_orders_of_words_that_are_never_right_do_not_disturb_the_parts_of_bleu() -> None:
    """Its smoothing jumps where the first hit comes."""
    rng = np.random.default_rng(0)
    said = rng.integers(4, 9, 50).astype(float)
    columns = {
        "samples": np.ones(50),
        "exact": np.zeros(50),
        "character_edits": said,
        "characters": said,
        "word_edits": said,
        "words": said,
    }
    columns |= {
        "true_words": said,
        **{f"hits_{order}": np.zeros(50) for order in (2, 3, 4)},
        "hits_1": rng.integers(0, 3, 50).astype(float),
    }
    columns |= {f"said_{order}": said - order + 1 for order in (1, 2, 3, 4)}
    measure = measure_of("captioning", "bleu")
    parts = parts_of("captioning", measure, columns)
    assert parts.mean() == pytest.approx(value_of_columns("captioning", measure, columns))
    resampled = []
    for _ in range(2000):
        rows = rng.integers(0, 50, 50)
        resampled.append(value_of_columns("captioning", measure, {name: each[rows] for name, each in columns.items()}))
    assert parts.std() / np.sqrt(50) == pytest.approx(np.std(resampled), rel=0.1)
