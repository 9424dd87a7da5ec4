from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.contracts import Artifact
from tasks.errors import InputError, LabelError, Stopped
from tasks.evaluate import EvaluateConfig, evaluate
from tests.tasks.evaluation.artifacts import Prepared, make_model, prepare, run_context
from tests.tasks.shards.corpora import Recorder

CONFIG = EvaluateConfig(batch_size=16, resamples=200)
FULL = "audio+image+text"
COST = re.compile(r'<div class="scroll narrow" id="cost">.*?</table></div>', re.DOTALL)
"""The one part of a page that depends on the machine."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.getbasetemp())


def registered(artifact: Artifact) -> Artifact:
    return Artifact("model", artifact.key, artifact.path, reference="models:/digits/2")


def run(
    folder: Path, prepared: Prepared, *, sink: Recorder | None = None, config: EvaluateConfig = CONFIG, **inputs: Artifact
) -> dict[str, Any]:
    given = {"model": prepared.model, "shards": prepared.shards} | inputs
    out = folder / "report"
    out.mkdir()
    return evaluate(config, given, out, run_context(folder, sink=sink, baseline="models:/digits@champion"))


@pytest.fixture(scope="module")
def finished(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, Recorder]:
    folder = tmp_path_factory.mktemp("finished")
    sink = Recorder()
    summary = run(folder, prepared, sink=sink, baseline=registered(prepared.rival))
    return summary, folder / "report", sink


def test_it_leaves_a_report_predictions_and_a_page(finished: tuple) -> None:
    summary, out, _ = finished
    assert sorted(path.name for path in out.iterdir()) == ["comparison.html", "predictions.parquet", "report.html", "report.json"]
    report = json.loads((out / "report.json").read_bytes())
    assert report["format"] == 1
    assert report["model"]["step"] == "model"
    assert report["data"]["samples"] == 118
    assert report["lineage"]["run"] == "run-1"
    assert report["heads"]["digit"]["accuracy"] == summary["heads"]["digit"]["accuracy"]
    assert "<script" in (out / "report.html").read_text(encoding="utf-8")


def test_the_summary_has_the_names_that_others_read(finished: tuple) -> None:
    summary = finished[0]
    digit = summary["heads"]["digit"]
    assert set(digit["by_modalities"]) == {"audio", "image", "text", "audio+image", "audio+text", "image+text", FULL}
    assert digit["by_modalities"]["audio+image"].keys() >= {"accuracy", "interval"}
    assert digit["interval"][0] <= digit["accuracy"] <= digit["interval"][1]
    assert summary["baseline"] == {"reference": "models:/digits/2", "version": "2"}
    assert digit["difference"]["value"] == pytest.approx(digit["accuracy"] - digit["baseline_accuracy"])
    assert "confusion" not in digit
    assert summary["heads"]["height"].keys() >= {"rmse", "mae", "r2", "interval"}
    json.dumps(summary, allow_nan=False)


def test_the_numbers_follow_from_the_predictions_table(finished: tuple) -> None:
    summary, out, _ = finished
    table = pq.read_table(out / "predictions.parquet")
    labels = np.array(table["digit.label"].to_pylist(), dtype=object)
    known = labels != None  # noqa: E711
    assert summary["heads"]["digit"]["samples"] == int(known.sum()) == 42
    assert summary["heads"]["digit"]["missing"] == 4
    for subset, entry in summary["heads"]["digit"]["by_modalities"].items():
        said = np.array(table[f"digit.prediction[{subset}]"].to_pylist(), dtype=object)
        assert entry["accuracy"] == pytest.approx(float((said == labels)[known].mean()))
    rival = np.array(table["digit.baseline_prediction"].to_pylist(), dtype=object)
    assert summary["heads"]["digit"]["baseline_accuracy"] == pytest.approx(float((rival == labels)[known].mean()))


def test_rows_are_in_the_order_of_the_shards(finished: tuple, prepared: Prepared) -> None:
    table = pq.read_table(finished[1] / "predictions.parquet")
    assert table["key"].to_pylist() == prepared.shard_set.keys("test")
    assert table["group"].to_pylist() == prepared.shard_set.groups("test")


def test_what_a_reader_must_know_is_noted(finished: tuple) -> None:
    summary, _, sink = finished
    told = " ".join(sink.notes)
    assert sink.notes == summary["notes"]
    assert "4 samples without this label" in told
    assert "only 16 groups" in told
    assert "the baseline has no comparable head" in told


def test_progress_counts_the_samples_of_both_models(finished: tuple) -> None:
    done = [done for done, _, _ in finished[2].done]
    assert done == sorted(done)
    assert finished[2].done[-1][:2] == (92, 92)


def test_the_same_run_gives_the_same_bytes_but_for_what_was_timed(prepared: Prepared, finished: tuple, tmp_path: Path) -> None:
    run(tmp_path, prepared, baseline=registered(prepared.rival))
    again, first = tmp_path / "report", finished[1]
    assert (again / "predictions.parquet").read_bytes() == (first / "predictions.parquet").read_bytes()
    one, other = (json.loads((folder / "report.json").read_bytes()) for folder in (again, first))
    for report in (one, other):
        assert {report.pop("cost")["batch_size"], report.pop("baseline_cost")["batch_size"]} == {1}
    assert json.dumps(one) == json.dumps(other)
    for name in ("report.html", "comparison.html"):
        one_page, other_page = (COST.subn("", (folder / name).read_text(encoding="utf-8")) for folder in (again, first))
        assert one_page == other_page
        assert one_page[1] == 1


def test_a_first_model_has_no_baseline_and_says_so(prepared: Prepared, tmp_path: Path) -> None:
    summary = run(tmp_path, prepared)
    assert summary["baseline"] is None
    assert "difference" not in summary["heads"]["digit"]
    assert any("models:/digits@champion names no version yet" in note for note in summary["notes"])


def test_a_model_beside_itself_has_no_difference(prepared: Prepared, tmp_path: Path) -> None:
    summary = run(tmp_path, prepared, baseline=prepared.model)
    assert summary["heads"]["digit"]["difference"] == {"value": 0.0, "interval": [0.0, 0.0]}
    assert summary["baseline"] == {"reference": "model", "version": ""}
    assert any("this very model" in note for note in summary["notes"])


def test_another_split_can_be_measured(prepared: Prepared, tmp_path: Path) -> None:
    assert run(tmp_path, prepared, config=EvaluateConfig(split="val", resamples=100))["samples"] == 12


def test_a_label_that_the_model_never_saw_stops_before_anything_is_written(prepared: Prepared, tmp_path: Path) -> None:
    ignorant = make_model(tmp_path / "model", prepared.shard_set, ("image",), ("digit",), seed=2, drop_class="7")
    with pytest.raises(LabelError, match=r"label 'digit' of split 'test' .*'7' \(\d samples\)"):
        run(tmp_path, prepared, model=ignorant)
    assert list((tmp_path / "report").iterdir()) == []


def test_an_empty_split_says_which_ones_are_not(prepared: Prepared, tmp_path: Path) -> None:
    folder = tmp_path / "without-test"
    shutil.copytree(prepared.shards.path, folder)
    meta = json.loads((folder / "shards.json").read_bytes())
    meta["shards"] = [shard for shard in meta["shards"] if shard["split"] != "test"]
    (folder / "shards.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match=r"split 'test' of the shards is empty; samples there are: .*train \(60\)"):
        run(tmp_path, prepared, shards=Artifact("shards", "00" * 32, folder))


def test_shards_without_a_modality_are_evaluated_with_what_is_there(prepared: Prepared, tmp_path: Path) -> None:
    summary = run(tmp_path, prepared, shards=without_modality(prepared, tmp_path / "silent", "audio"))
    assert set(summary["heads"]["digit"]["by_modalities"]) == {"image", "text", "image+text"}
    assert any("have no audio" in note for note in summary["notes"])


def test_a_stop_ends_it_with_a_sentence(prepared: Prepared, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped, match="stopped after 16 of 46 samples"):
        evaluate(CONFIG, {"model": prepared.model, "shards": prepared.shards}, tmp_path, run_context(tmp_path, stop=stop))


def test_the_config_refuses_what_makes_no_sense() -> None:
    for wrong in ({"split": "train"}, {"confidence": 1.0}, {"resamples": 5}, {"batch_size": 0}, {"baselin": "x"}):
        with pytest.raises(ValidationError):
            EvaluateConfig.model_validate(wrong)


def test_the_step_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, tasks.evaluate; print([name for name in ('torch', 'numpy', 'pyarrow', 'PIL', 'ray', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def without_modality(prepared: Prepared, folder: Path, modality: str) -> Artifact:
    """The same shards as if the modality had never been prepared."""
    shutil.copytree(prepared.shards.path, folder)
    meta = json.loads((folder / "shards.json").read_bytes())
    meta["modalities"].remove(modality)
    (folder / "shards.json").write_text(json.dumps(meta))
    index: pa.Table = pq.read_table(folder / "index.parquet")
    kept = [name for name in index.column_names if not name.startswith(f"{modality}.")]
    pq.write_table(index.select(kept), folder / "index.parquet")
    return Artifact("shards", "11" * 32, folder)
