from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.errors import InputError
from tasks.evaluate import SlicingConfig
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.report import baseline_values
from tasks.evaluation.slices import Sliced, cut, cut_columns, score_slices
from tasks.evaluation.table import predictions_table
from tests.tasks.evaluation.artifacts import Prepared
from tests.tasks.evaluation.example import Example, example, slices_of

FEW = SlicingConfig(min_samples=3, max_values=2)


def column(values: list[Any], config: SlicingConfig = FEW) -> Sliced:
    return cut("colour", pa.chunked_array([values]), config)


def test_rare_values_and_those_beyond_the_most_stand_together_under_a_name_that_says_so() -> None:
    many = column(["red"] * 5 + ["blue"] * 4 + ["green"] * 3 + ["pink"])
    assert many.names == ("red", "blue", "2 values beyond the 2 commonest or with fewer than 3 samples each")
    rare = column(["red"] * 5 + ["blue"] * 2 + ["pink", None, ""])
    assert rare.names == ("red", "2 values with fewer than 3 samples each")
    assert rare.value_N.tolist()[5:] == [rare.names[1]] * 3 + [None, None]
    assert rare.facts == {"kind": "category", "edges": None, "pooled": 2, "missing": 2}


def test_a_single_rare_value_keeps_its_name_and_one_that_looks_like_the_pool_stays_apart() -> None:
    assert column(["red"] * 5 + ["pink"]).names == ("red", "pink")
    pool = "2 values with fewer than 3 samples each"
    assert column([pool] * 4 + ["a", "b"]).names == (pool, f"({pool})")


def test_equal_counts_are_in_the_order_of_their_names() -> None:
    assert column(["b", "a"] * 4).names == ("a", "b")


def test_numbers_are_cut_into_equal_shares_and_called_by_what_is_in_them() -> None:
    cut_up = column([float(value) for value in range(1, 101)], SlicingConfig())
    assert cut_up.names == ("1 to 25", "26 to 50", "51 to 75", "76 to 100")
    assert [int((cut_up.value_N == name).sum()) for name in cut_up.names] == [25] * 4
    assert cut_up.facts["edges"] == pytest.approx([25.75, 50.5, 75.25])


def test_ties_stay_on_one_side_and_missing_numbers_are_in_no_slice() -> None:
    tied = column([1.0] * 60 + [2.0, 3.0, 4.0, 5.0, None, float("nan")], SlicingConfig())
    assert tied.names == ("1 to 1", "2 to 5")
    assert tied.value_N.tolist()[-2:] == [None, None]
    assert tied.facts["missing"] == 2


def test_few_distinct_numbers_are_values_of_their_own() -> None:
    assert column([0, 1, 0, 1, 0, 1, 0], SlicingConfig(min_samples=1)).names == ("0", "1")


def test_any_column_of_the_shards_is_joined_by_position(prepared: Prepared) -> None:
    columns = ["digit", "height", "group", "partition", "audio.size", "audio.ext"]
    digit, height, group, partition, size, extension = cut_columns(prepared.shards.path, "test", columns, SlicingConfig(min_samples=2))
    labels = prepared.shard_set.labels("test")
    assert digit.value_N.tolist() == labels["digit"].tolist()
    assert digit.facts["missing"] == 4
    assert height.facts["kind"] == size.facts["kind"] == "number"
    assert partition.names == ("default",)
    there = prepared.shard_set.present("test")["audio"]
    np.testing.assert_array_equal(size.value_N != None, there)  # noqa: E711
    assert set(extension.value_N[there]) == {"flac"}
    assert group.value_N.size == 46
    assert cut_columns(prepared.shards.path, "test", [], SlicingConfig()) == []


def test_a_column_that_is_not_there_is_told_with_those_that_are(prepared: Prepared) -> None:
    with pytest.raises(InputError, match=r"no column 'heigth'; they have: group, partition, digit, height, .*; did you mean 'height'\?"):
        cut_columns(prepared.shards.path, "test", ["digit", "heigth"], SlicingConfig())


@pytest.fixture(scope="module")
def made() -> Example:
    return example()


@pytest.fixture(scope="module")
def scores(made: Example) -> dict[str, Any]:
    others = baseline_values(made.predictions, made.baseline)
    return score_slices(slices_of(made), made.predictions.heads, made.labels, others, made.groups, Bootstrap(resamples=200))


def test_each_slice_has_the_numbers_of_its_own_samples(made: Example, scores: dict[str, Any]) -> None:
    rows = predictions_table(made.predictions, made.labels, made.groups, made.baseline, slices_of(made)).to_pylist()
    assert set(scores) == {"voice", "audio.size"}
    for name, values in scores.items():
        for value, entry in values.items():
            here = [row for row in rows if row[f"slice.{name}"] == value]
            assert entry["n"] == len(here) > 0
            assert entry["groups"] == len({row["group"] for row in here})
            labelled = [row for row in here if row["digit.label"] is not None]
            digit, height = entry["heads"]["digit"], entry["heads"]["height"]
            right = np.mean([row["digit.prediction"] == row["digit.label"] for row in labelled])
            other = np.mean([row["digit.baseline_prediction"] == row["digit.label"] for row in labelled])
            assert (digit["metric"], digit["samples"]) == ("accuracy", len(labelled))
            assert digit["accuracy"] == pytest.approx(right)
            assert digit["difference"]["value"] == pytest.approx(right - other)
            assert digit["interval"][0] <= digit["accuracy"] <= digit["interval"][1]
            assert digit["mcnemar"]["candidate_only"] - digit["mcnemar"]["baseline_only"] == pytest.approx((right - other) * len(labelled))
            error = np.sqrt(np.mean([(row["height.prediction"] - row["height.label"]) ** 2 for row in here]))
            assert height["rmse"] == pytest.approx(error)
            assert "mcnemar" not in height


def test_a_sample_without_a_value_is_null_in_the_table(made: Example) -> None:
    table = predictions_table(made.predictions, made.labels, made.groups, None, slices_of(made))
    assert table["slice.voice"].null_count == 12
    assert table.schema.field("slice.audio.size").type == pa.string()


def test_a_head_without_a_label_in_a_slice_is_left_out_there(made: Example) -> None:
    only = Sliced("x", np.array(["a"] + ["b"] * 599, dtype=object), ("a", "b"), {})
    found = score_slices([only], made.predictions.heads, made.labels, {}, made.groups, Bootstrap(resamples=100))
    assert set(found["x"]["a"]["heads"]) == {"height"}
    assert found["x"]["a"]["heads"]["height"]["interval"] is None
    assert "difference" not in found["x"]["b"]["heads"]["digit"]
