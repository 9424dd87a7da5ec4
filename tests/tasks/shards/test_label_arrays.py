"""Texts of labels become sets, tags and spans; what cannot is told with its sample and what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tasks.errors import LabelError
from tasks.shards.label_arrays import KINDS, check_texts, label_arrays
from tasks.shards.label_texts import class_counts, classes_of

NAN = np.nan
SET: dict[str, Any] = {"kind": "set", "separator": ";", "classes": ["bell", "dog bark", "rain"]}
TAGS: dict[str, Any] = {"kind": "tags", "classes": ["noun", "verb"]}
SPANS: dict[str, Any] = {"kind": "spans", "token_s": 0.04, "classes": ["bell", "speech"]}
SHARES = {**SPANS, "token_s": None}


def array(info: dict[str, Any], *texts: str | None) -> Any:
    return KINDS[info["kind"]](np.array(texts, dtype=object), info)


def test_a_set_is_one_column_a_class_and_a_sample_without_label_is_nan() -> None:
    found = array(SET, "rain;bell", " dog bark ;; dog bark", "", None, ";")
    np.testing.assert_array_equal(found, [[1, 0, 1], [0, 1, 0], [0, 0, 0], [NAN] * 3, [0, 0, 0]])
    assert found.dtype == np.float32


def test_a_class_that_training_lacks_has_no_column_and_leaves_the_others_as_they_are() -> None:
    np.testing.assert_array_equal(array(SET, "rain;thunder", "thunder"), [[0, 0, 1], [0, 0, 0]])


def test_tags_are_padded_and_an_unknown_one_keeps_its_place() -> None:
    found = array(TAGS, "noun verb  noun", "verb\tadverb", "", None)
    np.testing.assert_array_equal(found, [[0, 1, 0], [1, -2, -1], [-1, -1, -1], [-1, -1, -1]])
    assert found.dtype == np.int64


def test_spans_are_class_start_and_end() -> None:
    found = array(SPANS, "1.5-3.0 speech; 4-4.5 bell", " .5 - 7 speech ;", None)
    first, second, missing = found
    np.testing.assert_array_equal(first, [[1, 1.5, 3], [0, 4, 4.5]])
    np.testing.assert_array_equal(second, [[1, 0.5, 7], [NAN] * 3])
    assert np.isnan(missing).all()


def test_a_sample_without_spans_is_told_from_one_without_label() -> None:
    none, unlabelled, strange = array(SPANS, "", None, "0-1 thunder")
    np.testing.assert_array_equal(none, [[-1, 0, 0]])
    assert np.isnan(unlabelled).all()
    np.testing.assert_array_equal(strange, [[-1, 0, 1]])


@pytest.mark.parametrize("info", [SET, TAGS, SPANS])
@pytest.mark.parametrize("texts", [(), (None, None), ("",)])
def test_hardly_any_labels_still_make_an_array(info: dict[str, Any], texts: tuple[str | None, ...]) -> None:
    found = array(info, *texts)
    assert len(found) == len(texts)
    assert found.shape[1] >= 1


@pytest.mark.parametrize(
    ("info", "text", "sentence"),
    [
        (SPANS, "speech", "'speech' is no span; write start, end and class, with `;` between spans, as in `1.5-3 speech; 4-4.5 bell`"),
        (SPANS, "1-2", "'1-2' is no span; write start, end and class, with `;` between spans, as in `1.5-3 speech; 4-4.5 bell`"),
        (SPANS, "0-1 bell; 3-2 bell", "'3-2 bell' ends at 2, which is not after its start; the end is the second number"),
        (
            SHARES,
            "0.5-1.5 bell",
            "'0.5-1.5 bell' ends at 1.5, and shares of a recording are from 0 to 1; where they are seconds, set `token_s` of the head",
        ),
    ],
)
def test_a_bad_text_is_told_with_its_sample_and_what_is_allowed(info: dict[str, Any], text: str, sentence: str) -> None:
    values = np.array(["0-1 bell", None, text], dtype=object)
    with pytest.raises(LabelError) as caught:
        check_texts("events", values, info, lambda row: f"k{row}")
    start, end = (
        "head 'events': the label 'events' of some samples cannot be used: sample 'k2': ",
        "Mend them in the corpus and ingest it again",
    )
    assert str(caught.value) == f"{start}{sentence}. {end}"
    with pytest.raises(LabelError, match="a label cannot be used"):
        array(info, text)


def test_of_many_bad_texts_some_are_named_and_the_rest_is_counted() -> None:
    values = np.array(["bell"] * 7, dtype=object)
    with pytest.raises(LabelError, match=r"sample 'k4': .*; and 2 more samples\. Mend"):
        check_texts("events", values, {**SPANS, "column": "sounds"}, lambda row: f"k{row}")


def test_classes_and_their_counts_are_those_of_the_parts() -> None:
    assert classes_of(["rain;bell", "", "bell"], SET) == ["bell", "rain"]
    assert classes_of(["0-1 bell", "2-3 speech", "nonsense"], SPANS) == ["bell", "speech"]
    assert class_counts({"rain;bell": 3, "bell;bell": 2, "": 9}, SET) == {"bell": 5, "rain": 3}


def test_a_split_without_the_label_has_nothing_to_learn() -> None:
    found = label_arrays({}, 2, {"sounds": SET, "words": {**TAGS, "column": "pos"}, "strange": {"kind": "none"}})
    assert found.keys() == {"sounds", "words"}
    assert np.isnan(found["sounds"]).all()
    assert (found["words"] == -1).all()
