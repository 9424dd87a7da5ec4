"""The model card says what is known, in the form that hubs read, and what nobody stated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from tasks.contracts import Artifact, Lineage, StepRecord
from tasks.evaluation.model_card import Stated, model_card, without_front_matter

HEAD = {
    "accuracy": 0.91,
    "interval": [0.88, 0.94],
    "f1_macro": 0.9,
    "f1_macro_interval": [0.87, 0.93],
    "majority_accuracy": 0.5,
    "calibration": {"ece": 0.031, "interval": [0.01, 0.05]},
    "by_modalities": {"image": {"accuracy": 0.8, "interval": [0.7, 0.9]}, "image+text": {"accuracy": 0.91, "interval": [0.88, 0.94]}},
}
SIZE = {"rmse": 2.5, "interval": [2.0, 3.0], "mae": 1.5, "r2": 0.8}
SLICE = {"n": 40, "groups": 40, "heads": {"digit": {"metric": "accuracy", "samples": 40, "accuracy": 0.75, "interval": [0.6, 0.9]}}}


def card(root: Path, stated: Stated, **facts: Any) -> str:
    (root / "model").mkdir(exist_ok=True)
    (root / "report").mkdir(exist_ok=True)
    model = {
        "modalities": ["image", "text"],
        "model": {
            "encoders": {"image": {"kind": "cnn"}},
            "fusion": {"kind": "concat"},
            "placement": "late",
            "heads": {"digit": {"kind": "classification"}},
        },
        "num_parameters": 1234,
        "epochs": 3,
        "seed": 7,
    }
    (root / "model" / "model.json").write_text(json.dumps(model))
    manifest = {"parts": {"config": {"epochs": 3, "batch_size": 64}}, "code_revision": "abc", "libraries": {"torch": "2.14.1"}}
    (root / "model" / "manifest.json").write_text(json.dumps(manifest))
    report = {
        "split": "test",
        "samples": 200,
        "groups": 150,
        "confidence": 0.95,
        "shards": {"key": "s" * 64, "step": "shards"},
        "heads": {"digit": HEAD, "size": SIZE},
        "notes": ["A note of the report."],
        **facts,
    }
    (root / "report" / "report.json").write_text(json.dumps(report))
    lineage = Lineage("digits", "", "run-1", "abc", {}, (StepRecord("corpus", "ingest", "c" * 64, {}),))
    return model_card(stated, Artifact("model", "m" * 64, root / "model"), Artifact("report", "r" * 64, root / "report"), lineage)


def test_hubs_read_licence_tags_and_results(tmp_path: Path) -> None:
    read = huggingface_hub.ModelCard(card(tmp_path, Stated("digits", license="Apache-2.0")))
    assert read.data.license == "apache-2.0"
    assert read.data.library_name == "medley"
    assert read.data.tags == ["medley", "multimodal", "image", "text"]
    found = {(result.task_type, result.metric_type): result.metric_value for result in read.data.eval_results}
    assert found == {
        ("classification", "accuracy"): 0.91,
        ("classification", "f1"): 0.9,
        ("regression", "rmse"): 2.5,
        ("regression", "mae"): 1.5,
        ("regression", "r_squared"): 0.8,
    }
    assert {result.dataset_split for result in read.data.eval_results} == {"test"}
    other = huggingface_hub.ModelCard(card(tmp_path, Stated("digits", license="Our own, 2026"))).data
    assert (other.license, other.license_name) == ("other", "Our own, 2026")


@pytest.mark.parametrize(
    "told",
    [
        "Encoders: image (cnn). Fusion: concat (late). Heads: `digit` (classification).",
        "| `digit` | accuracy | 0.9100 [0.8800, 0.9400] |",
        "| `digit` | macro F1 | 0.9000 [0.8700, 0.9300] |",
        "| `digit` | expected calibration error | 0.0310 [0.0100, 0.0500] |",
        "| `size` | root mean squared error | 2.5000 [2.0000, 3.0000] |",
        "| image | 0.8000 [0.7000, 0.9000] |",
        "| a \\| b | 40 | 0.7500 [0.6000, 0.9000] |",
        "one sample takes 3.1 ms",
        "compared with models:/digits/2",
        "- A note of the report.",
        "Of 210 records: 200 written, 10 quarantined.",
        "| quarantined | image/truncated | 10 |",
        "| train | 150 | 100 | 2 |",
        "batch_size: 64",
        "For reading digits.",
        "Licence of the data: CC BY 4.0.",
        f"| step corpus | `{'c' * 64}` |",
        "run `run-1`, code revision `abc`, torch 2.14.1.",
    ],
)
def test_every_fact_stands_in_the_card(tmp_path: Path, told: str) -> None:
    data = {
        "splits": {"train": {"samples": 150, "groups": 100, "shards": 2}},
        "ledger": {"in": 210, "written": 200, "quarantined": 10},
        "left_out": {"quarantined": {"image/truncated": 10}},
    }
    cost = {"parameters": 1234, "size_bytes": 5000, "latency_ms": {"p50": 3.1, "p95": 4.2}}
    stated = Stated("digits", "For reading digits.", data_license="CC BY 4.0")
    baseline = {"reference": "models:/digits/2", "version": "2", "key": "b" * 64}
    assert told in card(tmp_path, stated, data=data, cost=cost, baseline=baseline, slices={"site": {"a | b": SLICE}})


def test_what_nobody_stated_is_said_to_be_not_stated(tmp_path: Path) -> None:
    bare = card(tmp_path, Stated("digits"))
    assert "The recipe does not state what this model is for." in bare
    assert "Licence of the data: not stated in the recipe." in bare
    assert "license" not in bare.split("\n---\n")[0]
    assert without_front_matter(bare).startswith("# digits\n")


def test_the_same_facts_make_the_same_bytes(tmp_path: Path) -> None:
    assert card(tmp_path, Stated("digits")) == card(tmp_path, Stated("digits"))
