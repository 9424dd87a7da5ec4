"""The gate decides by the metrics of every kind of head, from the columns that the evaluation left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import InputError
from tasks.evaluation.measures import MEASURED, all_names
from tasks.evaluation.ranking import auroc
from tasks.evaluation.scoring import parts_of, value_of_columns
from tasks.gating.config import GateConfig
from tasks.gating.judgement import Verdict, judge
from tasks.gating.metrics import Metric, measure_of, wrong_metric


def verdict(folder: Path, kind: str, columns: dict[str, dict[str, Any]], groups: Any = None, **rules: Any) -> Verdict:
    """`columns`: `sums`, `baseline_sums[image]` → what a scorer says of each sample."""
    size = len(next(iter(next(iter(columns.values())).values())))
    table = {"group": pa.array([str(at) for at in (range(size) if groups is None else groups)]), "match.label": pa.nulls(size)}
    for name, parts in columns.items():
        if name.startswith("slice."):
            table[name] = pa.array(parts["value"])
        else:
            arrays = [pa.array(np.asarray(part, dtype=np.float64)) for part in parts.values()]
            table[f"match.{name}"] = pa.StructArray.from_arrays(arrays, names=list(parts))
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(table).replace_schema_metadata({"medley.kind.match": kind}), folder / "predictions.parquet")
    (folder / "report.json").write_text(json.dumps({"model": {"key": "m"}, "baseline": {"key": "b", "version": "1"}}))
    return judge(folder, GateConfig(head="match", **rules), "baseline_sums" in columns, seed=0)


def retrieval(found: np.ndarray) -> dict[str, np.ndarray]:
    queries = np.full(found.size, 2.0)
    return {"queries": queries, "found_1": found, "found_5": found, "found_10": found, "reciprocal": found}


def test_an_equal_model_passes_and_a_clearly_worse_one_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    champion = rng.integers(0, 3, 600).astype(float)
    worse = np.where(rng.random(600) < 0.2, 0.0, champion)
    equal = verdict(tmp_path, "retrieval", {"sums": retrieval(champion), "baseline_sums": retrieval(champion)}, metric="recall_at_1")
    assert equal.objections == ()
    assert (equal.numbers["candidate"], equal.numbers["difference"]) == (pytest.approx(champion.mean() / 2), 0)
    refused = verdict(tmp_path, "retrieval", {"sums": retrieval(worse), "baseline_sums": retrieval(champion)}, metric="recall_at_1")
    assert "a loss of more than 0.02 in recall_at_1 of 'match' cannot be ruled out" in refused.objections[0]
    assert refused.numbers["difference"] == pytest.approx((worse.mean() - champion.mean()) / 2)


def test_of_an_error_rate_less_is_better_and_the_ceiling_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    characters = rng.integers(5, 40, 500).astype(float)
    champion = rng.binomial(characters.astype(int), 0.3).astype(float)
    better = np.maximum(champion - 1, 0)

    def errors(edits: np.ndarray) -> dict[str, np.ndarray]:
        return {"character_edits": edits, "characters": characters}

    found = verdict(
        tmp_path,
        "ctc",
        {"sums": errors(better), "baseline_sums": errors(champion)},
        metric="character_error_rate",
        margin=0.0,
        max_value=0.1,
    )
    assert found.numbers["difference"] == pytest.approx((champion - better).sum() / characters.sum())
    assert found.numbers["lower_bound"] > 0
    assert [said.split(" of ")[0] for said in found.objections] == [f"character_error_rate {better.sum() / characters.sum():.4g}"]


def test_micro_f1_is_compared_although_both_say_different_numbers_of_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    true = rng.integers(1, 4, 800).astype(float)
    hits = np.minimum(true, rng.integers(0, 4, 800))
    bold = {"hits": hits, "predicted": hits + rng.integers(0, 4, 800), "true": true, "exact": true * 0, "samples": true * 0 + 1}
    modest = {**bold, "predicted": hits + rng.integers(0, 2, 800)}
    measure = measure_of("multi_label", "f1_micro")
    found = verdict(tmp_path, "multi_label", {"sums": modest, "baseline_sums": bold}, metric="f1_micro")
    values = [value_of_columns("multi_label", measure, side) for side in (modest, bold)]
    assert found.numbers["difference"] == pytest.approx(values[0] - values[1], abs=1e-9)
    assert found.objections == ()
    assert verdict(tmp_path, "multi_label", {"sums": bold, "baseline_sums": modest}, metric="f1_micro").objections


@pytest.mark.parametrize(
    ("kind", "metric", "columns"),
    [
        ("multi_label", "f1_micro", ("hits", "predicted", "true")),
        ("localisation", "f1_at_50", ("found", "predicted", "true")),
        ("tagging", "token_accuracy", ("right", "tokens")),
    ],
)
def test_the_parts_of_a_metric_spread_as_a_bootstrap_of_it_does(kind: str, metric: str, columns: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    base = rng.integers(1, 6, 400).astype(float)
    made = {
        name: np.minimum(base, rng.integers(0, 6, 400)) if at == 0 else base + rng.integers(0, 3, 400) for at, name in enumerate(columns)
    }
    measure = measure_of(kind, metric)
    parts = parts_of(kind, measure, made)
    assert parts.mean() == pytest.approx(value_of_columns(kind, measure, made), abs=1e-9)
    draws = []
    for _ in range(2000):
        drawn = rng.integers(0, 400, 400)
        draws.append(value_of_columns(kind, measure, {name: column[drawn] for name, column in made.items()}))
    assert parts.std() / np.sqrt(400) == pytest.approx(np.std(draws), rel=0.06)


def test_an_area_under_roc_is_judged_and_slices_that_cannot_tell_it_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    strange = (rng.random(400) < 0.3).astype(float)
    champion, blind = strange * 2 + rng.normal(size=400), rng.normal(size=400)
    where = np.where(rng.random(400) < 0.5, "here", np.where(strange > 0, "here", "calm"))
    columns = {
        "sums": {"score": blind, "strange": strange},
        "baseline_sums": {"score": champion, "strange": strange},
        "slice.place": {"value": where.tolist()},
    }
    found = verdict(tmp_path, "anomaly", columns, metric="auroc", slices={"columns": ["place"]})
    areas = [auroc(score, strange > 0, np.ones((1, 400)))[0] for score in (blind, champion)]
    assert found.numbers["difference"] == pytest.approx(areas[0] - areas[1])
    assert [part["name"] for part in found.numbers["slices"]] == ["place=here"], "nothing is strange where it is calm"
    assert any("in the slice place=here" in said for said in found.objections)


def test_a_subset_of_modalities_is_judged_by_the_same_metric(tmp_path: Path) -> None:
    champion = np.tile([2.0, 1.0], 150)
    columns = {
        "sums": retrieval(champion),
        "sums[image]": retrieval(champion * 0),
        "sums[image+text]": retrieval(champion),
        "baseline_sums": retrieval(champion),
        "baseline_sums[image]": retrieval(champion),
        "baseline_sums[image+text]": retrieval(champion),
    }
    found = verdict(tmp_path, "retrieval", columns, metric="recall_at_1", subsets={})
    assert [said.split(" the candidate")[0] for said in found.objections] == ["from image alone"]


def test_samples_that_cannot_tell_the_metric_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the 50 samples of 'match' cannot tell it"):
        verdict(tmp_path, "anomaly", {"sums": {"score": np.arange(50.0), "strange": np.zeros(50)}}, metric="auroc")


def test_a_metric_that_the_head_does_not_have_is_told_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"embeds, and has no metric accuracy; those that a gate can decide by: recall_at_1, recall_at_5"):
        verdict(tmp_path, "retrieval", {"sums": retrieval(np.ones(50))})
    assert wrong_metric("tags", "f1_micro", "multi_label") == ""
    assert "says a class, and has no metric bleu; those that a gate can decide by: accuracy" in wrong_metric("digit", "bleu", "category")


def test_the_recipe_knows_every_metric_that_a_gate_can_decide_by() -> None:
    assert set(get_args(Metric)) == set(all_names(gated=True))
    assert all(kind.primary.gated for kind in MEASURED.values())
