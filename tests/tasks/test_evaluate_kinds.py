"""The step `evaluate` with heads of every kind, from shards to report, table, page and the gate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from tasks.contracts import Artifact
from tasks.errors import LabelError
from tasks.evaluate import EvaluateConfig, evaluate, lint, numbers
from tasks.evaluation.measures import MEASURED
from tasks.evaluation.model_card import Stated, model_card
from tasks.gating.config import GateConfig
from tasks.gating.judgement import judge
from tasks.modalities import MODALITIES
from tasks.models.config import ModelConfig
from tasks.models.contracts import Features
from tasks.models.fused import build_model
from tasks.models.heads.config import LabelHeadConfig
from tasks.models.load import build_readers, save_model
from tasks.models.targets import described
from tasks.models.tokens import WeightedSum
from tasks.register import version_tags
from tasks.shards.read import ShardSet
from tests.tasks.evaluation.artifacts import READ, Prepared, prepare, run_context
from tests.tasks.shards.corpora import Recorder

HEADS: dict[str, Any] = {
    "digit": {"kind": "classification"},
    "sets": {"kind": "multi_label", "label": "digit"},
    "caption": {"kind": "captioning", "target": "text", "layers": 1, "num_heads": 2, "max_tokens": 6},
    "spoken": {"kind": "ctc", "target": "text", "of": "audio"},
    "match": {"kind": "retrieval", "between": ["image", "audio"], "dim": 8},
    "odd": {"kind": "anomaly"},
    "letters": {"kind": "tagging", "label": "digit", "of": "audio", "align": "stretch"},
}
CONFIG: dict[str, Any] = {
    "batch_size": 16,
    "resamples": 100,
    "latency_calls": 50,
    "slices": ("digit",),
    "slicing": {"min_samples": 4},
    "anomalies": {"odd": {"label": "digit", "normal": ("0", "1", "2", "3", "4")}},
}


class Squared(nn.Module):
    """A head of the user's own, which says the height and its square."""

    class Config(LabelHeadConfig):
        kind: str

    def __init__(self, config: Squared.Config, name: str, label: dict[str, Any], width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def forward(self, features: Features) -> Tensor:
        said: Tensor = self.linear(features.fused.mean_BD())
        return said

    def loss(self, output: Tensor, target_B: Tensor, weight_B: Tensor) -> WeightedSum:
        weight_B = self.loss_weight_B(target_B, weight_B)
        both = torch.stack([target_B.nan_to_num(), target_B.nan_to_num() ** 2], dim=1)
        return WeightedSum(((output - both).square().mean(1) * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, target_B: Tensor, weight_B: Tensor) -> Tensor:
        return weight_B * ~target_B.isnan()

    def metrics(self, output: Tensor, target_B: Tensor, weight_B: Tensor) -> dict[str, WeightedSum]:
        return {}

    def predict(self, output: Tensor) -> Tensor:
        return output


def model_of(path: Path, shard_set: ShardSet, heads: dict[str, Any], seed: int = 0) -> Artifact:
    """A model of image and audio as `train` leaves it, untrained."""
    config = ModelConfig.model_validate(
        {"encoders": {"image": {"kind": "cnn", "channels": [8]}, "audio": {"kind": "cnn_lstm"}}, "heads": heads, "width": 16}
    )
    modalities = config.read_modalities
    read = {name: MODALITIES[name].read.model_validate(READ[name]).model_dump(mode="json") for name in modalities}
    readers = build_readers(read, {name: shard_set.fit(name) for name in modalities})
    shapes = {name: dict(reader.shape) for name, reader in readers.items()}
    labels = described(config.heads, shard_set.meta["labels"], shapes)
    torch.manual_seed(seed)
    model = build_model(config, shapes, labels)
    description: dict[str, Any] = {
        "model": config.model_dump(mode="json"),
        "read": read,
        "prepare": shard_set.meta["prepare"],
        "labels": labels,
        "modalities": list(model.modalities),
        "shapes": shapes,
        "fit_files": {name: shard_set.meta["fit_files"][name] for name in modalities},
    }
    save_model(path, model.state_dict(), description, shard_set.path / "fits")
    (path / "metrics.jsonl").write_text("")
    return Artifact("model", hashlib.sha256(path.name.encode()).hexdigest(), path, step=path.name)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.getbasetemp())


def run(folder: Path, prepared: Prepared, model: Artifact, sink: Recorder | None = None, config: Any = CONFIG, **inputs: Artifact) -> Path:
    out = folder / "report"
    out.mkdir(parents=True)
    evaluate(EvaluateConfig(**config), {"model": model, "shards": prepared.shards, **inputs}, out, run_context(folder, sink=sink))
    return out


@pytest.fixture(scope="module")
def finished(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Artifact]:
    folder = tmp_path_factory.mktemp("kinds")
    candidate, rival = (model_of(folder / name, prepared.shard_set, HEADS, seed) for seed, name in enumerate(("candidate", "rival")))
    baseline = Artifact("model", rival.key, rival.path, reference="models:/digits/2")
    return run(folder, prepared, candidate, baseline=baseline), candidate


def test_every_kind_has_its_metrics_with_intervals_and_the_difference_to_the_baseline(finished: tuple) -> None:
    heads = json.loads((finished[0] / "report.json").read_bytes())["heads"]
    kinds = {name: head["kind"] for name, head in heads.items()}
    assert kinds == {name: "category" if name == "digit" else HEADS[name]["kind"] for name in HEADS}
    for name, head in heads.items():
        for place, measure in enumerate(MEASURED[head["kind"]].measures):
            assert measure.name in head, (name, measure.name)
            assert "interval" in head if place == 0 else f"{measure.name}_interval" in head
        first = MEASURED[head["kind"]].primary.name
        assert head["difference"]["value"] == pytest.approx(head[first] - head[f"baseline_{first}"])
        assert set(head["by_modalities"]) == ({"audio+image"} if name == "match" else {"audio", "image", "audio+image"})
    assert (heads["odd"]["samples"], heads["odd"]["missing"], heads["odd"]["strange"]) == (42, 4, 21)
    assert heads["caption"]["samples"] == 46


def test_what_was_said_of_each_sample_stands_in_the_table_with_its_part_in_the_metrics(finished: tuple) -> None:
    table = pq.read_table(finished[0] / "predictions.parquet")
    rows = {row["key"]: row for row in table.to_pylist()}
    report = json.loads((finished[0] / "report.json").read_bytes())["heads"]
    assert rows["test001"]["caption.label"] == "a handwr", "as many tokens as the model reads"
    assert isinstance(rows["test001"]["caption.prediction"], str)
    assert rows["test001"]["sets.label"] == ["1"]
    assert rows["test010"]["sets.label"] is None
    assert rows["test010"]["sets.sums"] is None
    edits, characters = (sum(row["spoken.sums"][name] for row in rows.values()) for name in ("character_edits", "characters"))
    assert edits / characters == pytest.approx(report["spoken"]["character_error_rate"])
    assert len(rows["test000"]["match.prediction"]) == 16
    assert table.schema.metadata[b"medley.kind.match"] == b"retrieval"
    assert {"sets.sums[image]", "sets.baseline_sums[image]", "sets.baseline_sums"} <= set(table.column_names)


def test_slices_have_the_deciding_metric_of_every_head(finished: tuple) -> None:
    slices = json.loads((finished[0] / "report.json").read_bytes())["slices"]["digit"]
    entry = slices["3"]["heads"]
    assert {name: head["metric"] for name, head in entry.items()} == {
        "digit": "accuracy",
        "sets": "f1_micro",
        "caption": "bleu",
        "spoken": "character_error_rate",
        "match": "recall_at_1",
        "letters": "token_accuracy",
    }, "and where nothing is strange there is no area"


def test_both_pages_show_texts_sets_and_what_is_nearest(finished: tuple) -> None:
    page, comparison = ((finished[0] / name).read_text(encoding="utf-8") for name in ("report.html", "comparison.html"))
    for words in ("Character error rate", "R@10", "Nearest", "audio→image", "belongs here", "Micro F1", "Area under ROC"):
        assert words in page, words
    assert "candidate&#x27;s character error rate" in comparison
    assert "better now" in comparison


def test_the_gate_decides_by_what_the_report_left(finished: tuple) -> None:
    for head, metric in (("match", "recall_at_1"), ("spoken", "character_error_rate"), ("sets", "f1_micro"), ("odd", "auroc")):
        found = judge(finished[0], GateConfig(head=head, metric=metric, min_samples=10, subsets={}), compare=True, seed=0)
        report = json.loads((finished[0] / "report.json").read_bytes())["heads"][head]
        assert found.numbers["candidate"] == pytest.approx(report[metric])
        assert found.numbers["baseline"] == pytest.approx(report[f"baseline_{metric}"])


def test_card_and_tags_name_the_metrics(finished: tuple) -> None:
    out, model = finished
    lineage = run_context(out.parent).lineage
    summary = {"heads": json.loads((out / "report.json").read_bytes())["heads"]}
    report = Artifact("report", "e" * 64, out, summary=summary)
    card = model_card(Stated("digits"), model, report, lineage)
    assert "| `spoken` | character error rate | " in card
    assert "type: automatic-speech-recognition" in card
    tags = version_tags(lineage, model, report)
    assert float(tags["medley.recall_at_1.match"]) == pytest.approx(summary["heads"]["match"]["recall_at_1"], rel=1e-5)


def test_a_head_of_the_users_own_has_its_loss_and_nothing_else(prepared: Prepared, tmp_path: Path) -> None:
    sink = Recorder()
    model = model_of(tmp_path / "own", prepared.shard_set, {"height": {"kind": f"{__name__}:Squared"}})
    out = run(tmp_path, prepared, model, sink, {**CONFIG, "anomalies": {}})
    head = json.loads((out / "report.json").read_bytes())["heads"]["height"]
    assert set(head) == {"kind", "head", "loss"}
    assert head["loss"] > 0
    assert any("is not one of Medley's, so that only its loss is measured" in note for note in sink.notes)
    assert "Nothing is measured of height" in (out / "report.html").read_text(encoding="utf-8")


def test_an_anomaly_head_without_a_label_says_so_and_keeps_its_scores(prepared: Prepared, tmp_path: Path) -> None:
    sink = Recorder()
    model = model_of(tmp_path / "odd", prepared.shard_set, {"digit": "classification", "odd": {"kind": "anomaly"}})
    out = run(tmp_path, prepared, model, sink, {**CONFIG, "anomalies": {}})
    assert any("no label of the shards says which samples are strange" in note for note in sink.notes)
    assert pq.read_table(out / "predictions.parquet")["odd.prediction"].null_count == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"odd": {"label": "digit"}},
            r"nothing says which of its values are normal; there are: 0",
        ),
        ({"od": {}}, r"'od' is not an anomaly head of the model; .*did you mean 'odd'"),
        (
            {"odd": {"label": "age"}},
            r"the shards have no such label; they have: digit, height",
        ),
    ],
)
def test_truth_that_cannot_be_had_is_an_error_before_anything_is_predicted(
    prepared: Prepared, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    heads = {"digit": "classification", "odd": "anomaly"}
    with pytest.raises(LabelError, match=said):
        run(tmp_path, prepared, model_of(tmp_path / "model", prepared.shard_set, heads), config={**CONFIG, "anomalies": asked})


def test_shards_without_the_label_or_with_classes_that_training_lacked_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    heads = {"sets": {"kind": "multi_label", "label": "digit"}}
    for change, said in (
        ({"column": "colour"}, "the model predicts 'sets', but the shards have no such label"),
        ({"classes": ["0", "1", "2"]}, r"label 'digit' of split 'test' holds 7 values the model was not trained on"),
    ):
        model = model_of(tmp_path / said[:9], prepared.shard_set, heads)
        described_as = json.loads((model.path / "model.json").read_bytes())
        described_as["labels"]["sets"] |= change
        if "classes" in change:
            wanted = build_model(ModelConfig.model_validate(described_as["model"]), described_as["shapes"], described_as["labels"])
            save_model(model.path, wanted.state_dict(), described_as, prepared.shard_set.path / "fits")
        else:
            (model.path / "model.json").write_text(json.dumps(described_as))
        with pytest.raises(LabelError, match=said):
            run(tmp_path / said[:5], prepared, model, config={**CONFIG, "anomalies": {}})


def test_the_planner_knows_the_numbers_and_refuses_thresholds_of_other_kinds() -> None:
    class Train:
        model = ModelConfig.model_validate({"encoders": {"image": "cnn", "audio": "cnn_lstm"}, "heads": HEADS})

    inputs = {"model": Train()}
    paths = numbers(EvaluateConfig(), inputs)
    assert {"heads.match.recall_at_1", "heads.match.directions", "heads.sets.baseline_f1_micro", "heads.digit.calibration"} <= set(paths)
    asked = EvaluateConfig(thresholds={"sets": {"target": "precision", "at_least": 0.9}}, anomalies={"odds": {}})
    first, second = lint(asked, inputs)
    assert first == (
        "thresholds.sets: this head says any number of classes, and a threshold needs probabilities of which one is the answer; "
        "leave it out"
    )
    assert "'odds' is not an anomaly head of the model; its anomaly heads are: odd; did you mean 'odd'?" in second
