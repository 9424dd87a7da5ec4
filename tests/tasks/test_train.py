"""The train step: its config, what is refused before anything starts, and the artifact."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tasks.contracts import Artifact, TaskContext, Tracking
from tasks.errors import CorruptArtifact, InputError, LabelError, Stopped
from tasks.modalities.config import NgramFit, TextFit
from tasks.models.load import load_model
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.sources.config import FolderSource
from tasks.train import TrainConfig, identity, lint, train
from tasks.training import state
from tests.tasks.shards.corpora import Recorder
from tests.tasks.training.example import config, context, digest, records, write_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_shards(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def trained(shards: Artifact, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], TaskContext]:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "out").mkdir()
    around = context(folder)
    return folder / "out", train(config(epochs=3), {"shards": shards}, folder / "out", around), around


def run(chosen: TrainConfig, shards: Artifact, folder: Path, **around: Any) -> dict[str, Any]:
    (folder / "out").mkdir(exist_ok=True)
    return train(chosen, {"shards": shards}, folder / "out", context(folder, **around))


# ---- artifact ----------------------------------------------------------------------------------------------------------


def test_the_summary_says_what_was_trained(trained: tuple[Path, dict[str, Any], TaskContext]) -> None:
    _, summary, _ = trained
    assert set(summary) == {"epochs", "steps", "best_epoch", "train_loss", "val", "num_parameters", "samples_per_s", "seconds"}
    assert (summary["epochs"], summary["steps"]) == (3, 24)
    assert 1 <= summary["best_epoch"] <= 3
    assert set(summary["val"]) == {"shade", "height"}
    assert set(summary["val"]["shade"]) == {"loss", "accuracy"}
    assert json.loads(json.dumps(summary)) == summary


def test_the_model_folder_holds_what_the_format_says(trained: tuple[Path, dict[str, Any], TaskContext], shards: Artifact) -> None:
    out, summary, _ = trained
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "model.json", "metrics.jsonl", "fits/audio.json", "fits/image.json", "fits/text.json"}
    description = json.loads((out / "model.json").read_bytes())
    assert description["format"] == 1
    assert description["modalities"] == ["audio", "image", "text"]
    assert description["labels"]["shade"]["classes"] == ["dark", "grey", "light"]
    assert description["seed"] == 7
    assert {name: description[name] for name in ("epochs", "steps", "best_epoch", "num_parameters")} == {
        name: summary[name] for name in ("epochs", "steps", "best_epoch", "num_parameters")
    }
    meta = ShardSet.open(shards.path).meta
    assert description["prepare"] == meta["prepare"]


def test_the_loaded_model_gives_the_validation_of_its_best_epoch(
    trained: tuple[Path, dict[str, Any], TaskContext], shards: Artifact
) -> None:
    out, summary, _ = trained
    loaded = load_model(out)
    total = weight = 0.0
    for batch in Loader(ShardSet.open(shards.path), "val", loaded.readers, loaded.labels, batch_size=8).evaluation():
        with torch.no_grad():
            outputs = loaded.model.outputs(batch.inputs, loaded.model.present_BM(batch))
        found = loaded.model.metrics(outputs, batch)["height"]["mae"]
        total, weight = total + float(found.total), weight + float(found.weight)
    assert total / weight == pytest.approx(summary["val"]["height"]["mae"], rel=1e-4)


def test_a_finished_training_is_not_run_again(trained: tuple[Path, dict[str, Any], TaskContext], shards: Artifact, tmp_path: Path) -> None:
    out, summary, around = trained
    assert train(config(epochs=3), {"shards": shards}, tmp_path, around) == summary
    assert (tmp_path / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_a_training_whose_best_checkpoint_is_damaged_begins_anew(
    trained: tuple[Path, dict[str, Any], TaskContext], shards: Artifact, tmp_path: Path
) -> None:
    around = context(tmp_path)
    shutil.copytree(trained[2].work_dir, around.work_dir)
    root = around.work_dir / state.FOLDER
    index = state.at(root, 24) / state.INDEX
    described = json.loads(index.read_bytes())
    described["progress"]["best"] |= {"steps": 16, "epoch": 2}
    index.write_text(json.dumps(described))
    (state.at(root, 16) / state.MODEL).write_bytes(b"damaged")
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptArtifact, match=r"step-000000016: model.safetensors .*: the training begins anew"):
        train(config(epochs=3), {"shards": shards}, tmp_path / "out", around)
    assert train(config(epochs=3), {"shards": shards}, tmp_path / "out", around)["val"] == trained[1]["val"]


def test_the_last_weights_are_kept_when_asked(shards: Artifact, tmp_path: Path) -> None:
    summary = run(config(select="last", epochs=3, optimizer={"learning_rate": 0.2}), shards, tmp_path)
    final = state.newest(tmp_path / "work" / state.FOLDER, pytest.fail)
    assert final is not None
    assert summary["best_epoch"] == 3
    assert digest(load_model(tmp_path / "out").model.state_dict()) == digest(final.model())


def test_a_stopped_step_goes_on_when_run_again(trained: tuple[Path, dict[str, Any], TaskContext], shards: Artifact, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        run(config(epochs=3), shards, tmp_path, stop=stop)
    sink = Recorder()
    run(config(epochs=3), shards, tmp_path, sink=sink)
    assert any("training goes on at epoch 1, step 1" in note for note in sink.notes)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (trained[0] / "model.safetensors").read_bytes()


def test_the_seed_of_the_config_goes_before_that_of_the_recipe(shards: Artifact, tmp_path: Path) -> None:
    run(config(epochs=1, seed=11), shards, tmp_path)
    assert load_model(tmp_path / "out").description["seed"] == 11


def test_an_unreachable_tracking_server_does_not_stop_training(shards: Artifact, tmp_path: Path) -> None:
    sink = Recorder()
    around = dataclasses.replace(context(tmp_path, sink=sink), tracking=Tracking(uri=f"sqlite:///{tmp_path}/no/such/folder/mlflow.db"))
    (tmp_path / "out").mkdir()
    summary = train(config(epochs=1), {"shards": shards}, tmp_path / "out", around)
    assert summary["steps"] == 8


# ---- config ------------------------------------------------------------------------------------------------------------


def test_a_modality_that_is_not_named_is_read_by_its_defaults() -> None:
    chosen = TrainConfig.model_validate({"model": {"encoders": {"text": "gru"}, "heads": {"shade": "classification"}}})
    assert chosen.readers()["text"].model_dump()["max_tokens"] == 256
    assert TrainConfig.model_validate(chosen.model_dump(mode="json")) == chosen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"read": {"imag": {}}}, "'imag' is not a modality.*did you mean 'image'"),
        ({"read": {"image": {"sise": 3}}}, "sise"),
        ({"augment": {"imag": {"flip": 1}}}, "'imag' is not a modality; allowed: image, audio; did you mean 'image'"),
        ({"augment": {"text": {}}}, "'text' has no `augment`; allowed: image, audio"),
        ({"augment": {"image": {"crop": [1, 0.5]}}}, "a range of areas"),
        ({"model": {"encoders": {"txt": "gru"}}}, "model.encoders names 'txt'.*did you mean 'text'"),
        ({"model": {"encoders": {"text": "gro"}}}, "'gro' is not known; allowed: cnn, vgg, .*gru.*did you mean 'gru'"),
        ({"epochs": 0}, "greater than 0"),
        ({"epoch": 1}, "Extra inputs"),
        ({"optimizer": {"kind": "sgd"}}, "adamw"),
        ({"model": {"width": 30}}, "not a multiple of the fusion's `num_heads`"),
        ({"precision": "bf16"}, "bfloat16"),
        ({"policy": {"kind": "pseudo_labels", "strong": {}}}, "names no modality, so both views of a sample would be the same"),
        ({"policy": {"kind": "pseudo_labels", "strong": {"text": {}}}}, "'text' has no `augment`; allowed: image, audio"),
        ({"policy": "reptil"}, "'reptil' is not known; allowed: supervised, .*did you mean 'reptile'"),
    ],
)
def test_mistakes_in_the_config_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_identity_names_versions_and_changes_with_the_parts() -> None:
    own, ours = {"kind": "tests.tasks.models.own:Mean"}, "cnn"
    facts = [identity(config(model={"encoders": {"image": kind}}, read={}), Path()) for kind in (own, ours)]
    assert facts[0] != facts[1]
    assert facts[1]["model"]["encoders"] == {"image": {"kind": "cnn", "version": 1}}


def test_lint_finds_what_cannot_work_between_steps() -> None:
    class Shards:
        prepare = {"image": {}, "text": {}}  # noqa: RUF012

    assert lint(config(), {}) == []
    problems = lint(config(streams=5, model={"encoders": {"audio": "cnn_lstm", "text": "gru"}}), {"shards": Shards()})
    assert [problem.split(":")[0] for problem in problems] == ["model.encoders.audio", "read.image", "batch_size"]
    assert "they have image, text" in problems[0]


def test_lint_misses_a_label_that_the_corpus_will_not_have() -> None:
    shards = SimpleNamespace(prepare={"image": {}, "text": {}, "audio": {}})
    behind = {"shards": shards, "corpus": SimpleNamespace(source=FolderSource(path="here", label="shades"))}
    (problem,) = lint(config(model={"heads": {"shade": "classification"}}), behind)
    assert problem == (
        "model.heads.shade: it learns from the label 'shade', and the corpus will have shades; did you mean 'shades'?; name one of these, "
        "or let the ingest step read it"
    )
    there = {"heads": {"shade": {"kind": "classification", "label": "shades"}}}
    assert lint(config(model=there), behind) == []
    (problem,) = lint(config(model=there, policy={"kind": "reptile", "tasks": "shdes"}), behind)
    assert problem.startswith("policy 'reptile': it learns from the label 'shdes', and the corpus will have shades; did you mean 'shades'?")


def test_lint_misses_a_language_model_that_the_shards_do_not_learn() -> None:
    said = {"kind": "ctc", "target": "text", "of": "audio", "beam_width": 8, "language_model": 0.5}
    chosen = config(model={"encoders": {"audio": "crnn"}, "heads": {"said": said}}, read={})
    for fit, count in (({}, 1), ({"text": TextFit(language_model=NgramFit())}, 0)):
        problems = lint(chosen, {"shards": SimpleNamespace(prepare={"audio": {}, "text": {}}, fit=fit)})
        assert [problem.split(": ")[0] for problem in problems] == ["model.heads.said.language_model"] * count


def test_varying_enters_the_config_and_the_identity_only_where_it_is_asked_for() -> None:
    """Trainings of recipes that know nothing of it keep their keys."""
    assert "augment" not in config().model_dump(mode="json") | identity(config(), Path())
    varied = config(augment={"image": {"flip": 0.5}})
    assert varied.model_dump(mode="json")["augment"]["image"]["flip"] == 0.5
    assert identity(varied, Path())["augment"] == {"image": 1}
    assert TrainConfig.model_validate(varied.model_dump(mode="json")) == varied
    strong = config(policy={"kind": "pseudo_labels", "strong": {"audio": {"time_masks": 1}}})
    assert identity(strong, Path())["augment"] == {"audio": 1}
    assert TrainConfig.model_validate(strong.model_dump(mode="json")) == strong


def test_lint_finds_what_cannot_be_varied() -> None:
    chosen = config(
        read={"image": {"channels": 1}},
        model={"encoders": {"image": "cnn", "text": "gru"}},
        augment={"image": {"hue": 0.1}, "audio": {"speeds": [0.9, 1]}},
    )
    assert [problem.split(":")[0] for problem in lint(chosen, {})] == ["augment.audio", "augment.image.hue"]
    policy = {"kind": "pseudo_labels", "strong": {"image": {"hue": 0.1}}}
    assert [problem.split(":")[0] for problem in lint(config(read={"image": {"channels": 1}}, policy=policy), {})] == [
        "policy.strong.image.hue"
    ]


# ---- refused before training starts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"model": {"heads": {"shadow": "classification"}}},
            LabelError,
            "labels there are: .*, shade; name one by `label:`, or let the ingest step read it",
        ),
        ({"model": {"heads": {"shade": "regression"}}}, LabelError, "use `kind: classification`"),
        ({"batch_size": 80, "streams": 4}, InputError, "the split 'train' has 66 samples; lower batch_size"),
        ({"batch_size": 9}, InputError, "not a multiple of streams"),
        ({"model": {"encoders": {"audio": "text_cnn"}}, "read": {}}, InputError, "encoder 'text_cnn' needs vocab_size"),
        ({"read": {"image": {"size": [2, 2]}}}, InputError, "4 pixels a side and more"),
        (
            {"policy": {"kind": "reptile", "tasks": "shades"}},
            LabelError,
            "policy 'reptile' has no label 'shades' in the shards; did you mean 'shade'.; labels there are: .*shade; name one, or let the",
        ),
        ({"policy": {"kind": "reptile", "tasks": "height"}}, LabelError, "by the label 'height', which has fewer than two categories in"),
    ],
)
def test_what_does_not_fit_the_shards_is_refused(
    shards: Artifact, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(config(**changes), shards, tmp_path)
    assert not list((tmp_path / "out").iterdir())
    assert not (tmp_path / "work" / "metrics.jsonl").exists()


def test_a_norm_over_the_batch_is_refused_on_several_workers(shards: Artifact, tmp_path: Path) -> None:
    normed = {"encoders": {"image": {"kind": "cnn", "norm": "batch"}}}
    with pytest.raises(InputError, match="the encoder of image has `norm: batch`, and each of the 2 workers would norm its own part"):
        run(config(model=normed), shards, tmp_path, workers=2)


def test_parts_of_a_batch_that_a_worker_has_no_sample_for_are_refused(shards: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="accumulate is 5, but a worker has only 4 samples of a batch; lower it"):
        run(config(accumulate=5), shards, tmp_path, workers=2)


def test_workers_that_do_not_divide_the_streams_are_refused(shards: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="streams \\(4\\) is not a multiple of the 3 workers"):
        run(config(), shards, tmp_path, workers=3)


def test_a_medium_that_no_record_has_is_not_looked_for_in_another_split(tmp_path: Path) -> None:
    silent = records(48)
    for record in silent:
        record.members = {name: data for name, data in record.members.items() if name != "audio"}
    with pytest.raises(InputError, match="has audio, nor does one of another split; leave it out, or look at how the ingest step finds it"):
        run(config(), write_shards(tmp_path / "silent", silent), tmp_path)


def test_pseudo_labels_are_refused_when_training_has_all_labels(tmp_path: Path) -> None:
    full = [record for record in records(48) if record.labels["shade"] is not None]
    shards = write_shards(tmp_path / "full", full)
    with pytest.raises(
        InputError,
        match="learns from samples without the label of shade, and every sample of the split 'train' has one; leave the policy out, or add",
    ):
        run(config(policy={"kind": "pseudo_labels", "strong": {"image": {"flip": 0.5}}}), shards, tmp_path)


def test_splits_and_modalities_that_are_not_there_are_refused(tmp_path: Path) -> None:
    known = [record for record in records() if record.split != "val"]
    for record in known:
        if record.split == "train":
            record.members = {name: data for name, data in record.members.items() if name != "audio"}
    shards = write_shards(tmp_path / "few", known)
    with pytest.raises(InputError, match="of the split 'train' has audio, those of test alone do; leave it out, or split the corpus"):
        run(config(), shards, tmp_path)
    without = {"encoders": {"text": "gru"}}
    with pytest.raises(InputError, match="no samples in the split 'val', which `select: best` chooses by"):
        run(config(model=without, read={}), shards, tmp_path)
    summary = run(config(model=without, read={}, select="last"), shards, tmp_path)
    assert summary["val"] == {}
    assert summary["best_epoch"] == 2
