from __future__ import annotations

import json

import numpy as np

from tasks.evaluation.table import predictions_table
from tests.tasks.evaluation.example import example

FULL = "audio+image+text"


def test_columns_are_named_after_heads_and_subsets() -> None:
    made = example(30)
    names = predictions_table(made.predictions, made.labels, made.groups, made.baseline).column_names
    assert names[:5] == ["key", "group", "digit.label", "digit.prediction", "digit.probability"]
    assert {"digit.prediction[audio+image]", f"digit.prediction[{FULL}]", "digit.baseline_prediction", "height.prediction[text]"} <= set(
        names
    )


def test_a_baseline_has_a_column_for_each_subset_and_the_best_champion_one_for_all() -> None:
    made = example(30)
    table = predictions_table(made.predictions, made.labels, made.groups, made.baseline, best=made.baseline)
    assert made.baseline is not None
    subsets = list(made.baseline.heads["digit"].by_subset)
    assert {f"digit.baseline_prediction[{subset}]" for subset in subsets} <= set(table.column_names)
    assert table["digit.best_prediction"] == table["digit.baseline_prediction"]
    assert not [
        name for name in predictions_table(made.predictions, made.labels, made.groups, made.baseline).column_names if "best" in name
    ]


def test_categories_are_strings_numbers_floats_and_a_missing_label_is_null() -> None:
    made = example(30)
    made.labels["height"][3] = np.nan
    table = predictions_table(made.predictions, made.labels, made.groups, made.baseline)
    rows = table.to_pylist()
    assert rows[0]["digit.label"] is None
    assert rows[1]["digit.label"] == str(made.labels["digit"][1])
    assert rows[3]["height.label"] is None
    assert rows[4]["height.prediction"] == made.predictions.heads["height"].by_subset[FULL][4]


def test_probabilities_are_lists_in_the_order_the_metadata_tells() -> None:
    made = example(20)
    table = predictions_table(made.predictions, made.labels, made.groups, None)
    assert json.loads(table.schema.metadata[b"medley.classes.digit"]) == list("0123456789")
    first = np.array(table["digit.probability"][7].as_py())
    np.testing.assert_allclose(first, made.predictions.heads["digit"].probability[7], rtol=1e-6)
    assert not [name for name in table.column_names if "baseline" in name]
