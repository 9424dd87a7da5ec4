from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import LabelError
from tasks.evaluation.labels import class_indices, strange_labels, true_labels, true_parts

DIGIT = {"kind": "category", "classes": ["0", "1", "2"]}


def objects(*values: object) -> np.ndarray:
    return np.array(values, dtype=object)


def test_classes_become_indices_and_a_missing_label_minus_one() -> None:
    assert true_labels("digit", DIGIT, {"digit": objects("2", None, "0")}, "test").tolist() == [2, -1, 0]


def test_numbers_stay_and_a_missing_one_is_nan() -> None:
    np.testing.assert_array_equal(true_labels("age", {"kind": "number"}, {"age": np.array([1.5, np.nan])}, "test"), [1.5, np.nan])


def test_values_the_model_does_not_know_are_named_with_counts_and_a_way_out() -> None:
    labels = {"digit": objects("0", "eleven", "twelve", "eleven")}
    with pytest.raises(LabelError) as caught:
        true_labels("digit", DIGIT, labels, "test")
    message = str(caught.value)
    assert "'digit' of split 'test'" in message
    assert "'eleven' (2 samples), 'twelve' (1 sample)" in message
    assert "in 3 samples" in message
    assert "It knows: '0', '1', '2'" in message
    assert "train again" in message


def test_many_unknown_values_are_cut_short() -> None:
    labels = {"digit": objects(*(f"x{number}" for number in range(40)))}
    with pytest.raises(LabelError, match=r"40 values .* and 30 more"):
        true_labels("digit", DIGIT, labels, "test")


def test_a_label_the_shards_lack_is_an_error_that_lists_theirs() -> None:
    with pytest.raises(LabelError, match=r"no such label; they have: age, word"):
        true_labels("digit", DIGIT, {"word": objects("a"), "age": np.array([1.0])}, "test")


def test_a_split_without_any_label_is_an_error() -> None:
    with pytest.raises(LabelError, match=r"no sample of split 'val' has a label 'digit'"):
        true_labels("digit", DIGIT, {"digit": objects(None, None)}, "val")


def test_text_where_a_number_is_predicted_is_an_error() -> None:
    with pytest.raises(LabelError, match=r"predicts 'age' as a number"):
        true_labels("age", {"kind": "number"}, {"age": objects("old", None)}, "test")


def test_numbers_where_a_class_is_predicted_are_an_error() -> None:
    with pytest.raises(LabelError, match=r"'7\.0'"):
        true_labels("digit", DIGIT, {"digit": np.array([7.0])}, "test")


def test_unknown_values_have_no_index() -> None:
    assert class_indices(["b", "z", None], ["a", "b"]).tolist() == [1, -1, -1]


def test_of_a_number_zero_is_normal_and_of_a_category_what_is_listed() -> None:
    labels = {"broken": np.array([0.0, 2.0, np.nan]), "state": np.array(["good", "torn", None], dtype=object)}
    np.testing.assert_array_equal(strange_labels("odd", "broken", (), labels, "test"), [0, 1, np.nan])
    np.testing.assert_array_equal(strange_labels("odd", "state", ("good",), labels, "test"), [0, 1, np.nan])
    np.testing.assert_array_equal(strange_labels("odd", "state", ("good", "new"), labels, "test", ["new"]), [0, 1, np.nan])
    with pytest.raises(LabelError, match=r"anomalies\.odd\.normal names 'godo', and no sample has that state; did you mean 'good'"):
        strange_labels("odd", "state", ("godo",), labels, "test")


def test_parts_of_a_label_are_read_under_its_column_and_bad_ones_are_named() -> None:
    info = {"kind": "set", "separator": ";", "classes": ["cat", "owl"], "column": "animals"}
    labels = {"animals": np.array(["owl; cat", "", None, "owl"], dtype=object)}
    found = true_parts("sets", info, labels, "test", str)
    np.testing.assert_array_equal(found, [[1, 1], [0, 0], [np.nan, np.nan], [0, 1]])
    with pytest.raises(LabelError, match=r"label 'animals' of split 'test' holds one value .*'eel' \(1 sample\)"):
        true_parts("sets", info, {"animals": np.array(["owl;eel"], dtype=object)}, "test", str)
    with pytest.raises(LabelError, match=r"sample 'row 0'.*is no span"):
        spans = {"kind": "spans", "token_s": 0.1, "classes": ["bell"], "column": "events"}
        true_parts("when", spans, {"events": np.array(["bell"], dtype=object)}, "test", lambda row: f"row {row}")
