"""What a training takes from another model: which parts, why not others, and that all of it is said before anything starts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from tasks.contracts import Artifact
from tasks.errors import InputError, LabelError, Stopped
from tasks.models.load import load_model
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.train import lint, train
from tasks.training.channel import request_stop
from tasks.training.loop import train_model, train_step
from tasks.training.ranks import Ranks
from tasks.training.run import Job, start
from tasks.training.sources import Sources, fit_of
from tasks.training.teaching import check_teacher
from tasks.training.transfer import Receiver
from tests.tasks.shards.corpora import Recorder
from tests.tasks.training.example import config, context, digest, final_weights, records, write_shards

SMALL: dict[str, Any] = {
    "encoders": {"image": {"kind": "cnn", "channels": [8, 8]}, "text": {"kind": "transformer", "num_heads": 2}},
    "heads": {"shade": "classification", "height": "regression"},
}
READ = {"image": {"size": [8, 8]}, "text": {"max_tokens": 12}}


def trained(folder: Path, shards: Artifact, sources: dict[str, Artifact] | None = None, **changes: Any) -> tuple[Artifact, list[str]]:
    """The model, and what was noted."""
    (folder / "out").mkdir(parents=True)
    sink = Recorder()
    chosen = config(**{"epochs": 1, "read": READ, **changes, "model": {**SMALL, **changes.get("model", {})}})
    summary = train(chosen, {"shards": shards, **(sources or {})}, folder / "out", context(folder, sink=sink))
    return Artifact("model", "7" * 64, folder / "out", summary), sink.notes


def weights(model: Artifact) -> dict[str, torch.Tensor]:
    return load_file(model.path / "model.safetensors")


@pytest.fixture(scope="module")
def first(shards: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trained(tmp_path_factory.mktemp("first"), shards)[0]


FROZEN = {"fine_tune": {"freeze": ["encoders", "fusion", "trunk", "missing", "heads.shade"]}}
"""Everything but one head."""


def test_all_that_fits_is_taken_and_said(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    model, notes = trained(tmp_path, shards, {"init": first}, **FROZEN)
    before, after = weights(first), weights(model)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "heads.height_.linear.weight",
        "heads.height_.linear.bias",
    }
    assert "taken from init: encoders.image, encoders.text, missing.image, missing.text, heads.height, heads.shade, fusion, trunk" in notes


def test_what_does_not_fit_begins_anew_and_is_said(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    changed = {
        "encoders": {"image": {"kind": "cnn", "channels": [8, 16], "grid": 2}, "text": {"kind": "gru"}},
        "heads": {"shade": {"kind": "classification", "label_smoothing": 0.1}, "tall": {"kind": "regression", "label": "height"}},
    }
    _, notes = trained(tmp_path, shards, {"init": first}, model=changed)
    said = "\n".join(notes)
    assert "taken from init: missing.image, missing.text, heads.shade, fusion, trunk" in said
    assert re.search(r"begins anew: encoders.image: .*has shape \[8, 8, 3, 3\], needs \[16, 8, 3, 3\]", said)
    assert "begins anew: encoders.text: it is of kind 'gru' here, and encoders.text of init is of kind 'transformer'" in said
    assert "begins anew: heads.tall: init has no heads.tall; it has: encoders.image, encoders.text," in said
    assert "with other settings: heads.shade: label_smoothing 0.0 → 0.1" in said


def test_parts_of_other_names_are_taken_as_the_map_says(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    renamed = {"heads": {"tall": {"kind": "regression", "label": "height"}, "shade": "classification"}}
    chosen = {"take": ["heads.tall"], "map": {"heads.tall": "heads.height"}}
    model, notes = trained(tmp_path, shards, {"init": first}, model=renamed, transfer=chosen, fine_tune={"freeze": ["heads.tall"]})
    assert torch.equal(weights(model)["heads.tall_.linear.weight"], weights(first)["heads.height_.linear.weight"])
    assert "taken from init: heads.tall (from heads.height)" in notes


def test_one_modality_begins_with_the_encoder_of_another(shards: Artifact, tmp_path: Path) -> None:
    sounds = {"encoders": {"audio": {"kind": "tests.tasks.training.own:Deep"}}}
    heard, _ = trained(tmp_path / "a", shards, model=sounds, read={"audio": {"rate_hz": 8000, "num_mels": 16}})
    seen = {"encoders": {"image": {"kind": "tests.tasks.training.own:Deep"}}}
    chosen = {"transfer": {"take": ["encoders.image"], "map": {"encoders.image": "encoders.audio"}}}
    model, _ = trained(tmp_path / "b", shards, {"init": heard}, model=seen, fine_tune={"freeze": ["encoders"]}, **chosen)
    assert torch.equal(weights(model)["encoders.image_.layer.weight"], weights(heard)["encoders.audio_.layer.weight"])


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_an_encoder_of_texts_begins_with_one_of_sounds_but_for_the_layer_that_reads(shards: Artifact, tmp_path: Path, kind: str) -> None:
    heard, _ = trained(tmp_path / "a", shards, model={"encoders": {"audio": kind}}, read={"audio": {"rate_hz": 8000, "num_mels": 16}})
    chosen = {"transfer": {"map": {"encoders.text": "encoders.audio"}}}
    read = {"model": {"encoders": {"text": kind}}, "read": {"text": {"max_tokens": 12}}, "fine_tune": {"freeze": ["encoders"]}}
    model, notes = trained(tmp_path / "b", shards, {"init": heard}, **read, **chosen)
    assert any("encoders.text (from encoders.audio, but for the layer that reads the medium)" in note for note in notes)
    there = {name.removeprefix("encoders.audio_"): value for name, value in weights(heard).items() if name.startswith("encoders.audio_")}
    here = {name.removeprefix("encoders.text_"): value for name, value in weights(model).items() if name.startswith("encoders.text_")}
    assert here.keys() - there.keys() == set()
    for name, value in here.items():
        assert name.startswith(".embed.") or torch.equal(value, there[name]), name
    assert here[".embed.weight"].shape != there[".embed.weight"].shape


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {
                "model": {"encoders": {"image": {"kind": "cnn", "channels": [8, 16]}, "text": SMALL["encoders"]["text"]}},
                "transfer": {"take": ["encoders", "trunk"]},
            },
            "this of `init` cannot be taken: encoders.image: .stages.1.0.weight has shape [8, 8, 3, 3], needs [16, 8, 3, 3];",
        ),
        (
            {"model": {"trunk": {"kind": "mlp", "layers": 3}}, "transfer": {"take": ["trunk"]}},
            "this of `init` cannot be taken: trunk: ",
        ),
        (
            {"transfer": {"map": {"heads.shade": "heads.colour"}}},
            "this of `init` cannot be taken: heads.shade: init has no heads.colour; it has: encoders.image, encoders.text,",
        ),
        (
            {"model": {"width": 24}},
            "nothing of `init` can be taken: encoders.image: ",
        ),
        (
            {"transfer": {"map": {"missing.image": "encoders.image"}}},
            "this of `init` cannot be taken: missing.image: it is of kind 'weight' here, and encoders.image of init is of kind 'cnn'",
        ),
        (
            {"transfer": {"map": {"encoders.image": "missing.image"}}},
            "this of `init` cannot be taken: encoders.image: it is of kind 'cnn' here, and missing.image of init is of kind 'weight'",
        ),
        (
            {
                "model": {"encoders": {"audio": {"kind": "cnn_lstm", "channels": [8, 8]}, "image": SMALL["encoders"]["image"]}},
                "read": {"image": {"size": [8, 8]}},
                "transfer": {"take": ["fusion"]},
            },
            "this of `init` cannot be taken: fusion: it is of audio, image here and of image, text in init.",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name_before_training(
    shards: Artifact, first: Artifact, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
        trained(tmp_path, shards, {"init": first}, **changes)
    assert not (tmp_path / "work").exists()


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    """Two sets of samples whose tokenizers have one size and other words; the second calls a class otherwise."""
    folder = tmp_path_factory.mktemp("tokenized")
    changed = [
        dataclasses.replace(
            each,
            members={**each.members, "text": (each.members["text"] or b"").replace(b"thing", b"piece")},
            labels={**each.labels, "shade": "black" if each.labels["shade"] == "dark" else each.labels["shade"]},
        )
        for each in records()
    ]
    fit = {"text": {"tokenizer": "word"}}
    return write_shards(folder / "a", fit=fit), write_shards(folder / "b", changed, fit=fit)


@pytest.fixture(scope="module")
def worded(tokenized: tuple[Artifact, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model of the first of these sets."""
    return trained(tmp_path_factory.mktemp("worded"), tokenized[0])[0]


def test_a_head_of_other_classes_begins_anew_or_is_refused(tokenized: tuple[Artifact, Artifact], worded: Artifact, tmp_path: Path) -> None:
    _, notes = trained(tmp_path / "a", tokenized[1], {"init": worded})
    assert "not taken from init, begins anew: heads.shade: its classes are black, grey, light here and dark, grey, light in init" in notes
    with pytest.raises(InputError, match=r"^this of `init` cannot be taken: heads.shade: its classes are black, grey, light here"):
        trained(tmp_path / "b", tokenized[1], {"init": worded}, transfer={"take": ["heads.shade"]})


def test_a_head_that_says_a_text_needs_the_vocabulary_of_init(tokenized: tuple[Artifact, Artifact], tmp_path: Path) -> None:
    said = {"encoders": {"image": SMALL["encoders"]["image"]}, "heads": {"told": {"kind": "captioning", "target": "text", "num_heads": 2}}}
    given, _ = trained(tmp_path / "a", tokenized[0], model=said)
    _, notes = trained(tmp_path / "b", tokenized[1], {"init": given}, model=said)
    (anew,) = [note for note in notes if note.startswith("not taken from init")]
    assert anew.startswith("not taken from init, begins anew: heads.told: what was learned about text is not the same")
    model, _ = trained(tmp_path / "c", tokenized[1], {"init": given}, model=said, fits={"text": "init"}, fine_tune={"freeze": ["heads"]})
    for name, value in weights(given).items():
        assert not name.startswith("heads.") or torch.equal(value, weights(model)[name])


def test_what_a_head_learned_beside_its_weights_is_taken_too(shards: Artifact, tmp_path: Path) -> None:
    found = {"heads": {"found": {"kind": "retrieval", "between": ["image", "text"], "dim": 3, "loss": "cca"}}}
    given, _ = trained(tmp_path / "a", shards, model=found)
    model, _ = trained(tmp_path / "b", shards, {"init": given}, model=found, fine_tune={"freeze": ["heads"]})
    moments = {name: value for name, value in weights(given).items() if name.startswith("heads.found_.space.")}
    assert any(value.any() for value in moments.values())
    for name, value in moments.items():
        assert torch.equal(weights(model)[name], value)


def test_weights_of_losses_are_those_of_the_same_losses(shards: Artifact, tmp_path: Path) -> None:
    given, _ = trained(tmp_path / "a", shards, model={"weighting": "uncertainty"})
    other = {"weighting": "uncertainty", "heads": {"height": "regression", "size": {"kind": "regression", "label": "height"}}}
    _, notes = trained(tmp_path / "b", shards, {"init": given}, model=other)
    assert "not taken from init, begins anew: log_variances: it is of height, size here and of height, shade in init" in notes


def test_a_medium_that_is_read_otherwise_is_noted(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    _, notes = trained(tmp_path, shards, {"init": first}, read={**READ, "text": {"max_tokens": 8}})
    assert "taken from init, with other settings: encoders.text: read.max_tokens 12 → 8" in notes


def test_a_group_of_parts_is_no_place_to_map_to() -> None:
    with pytest.raises(
        ValidationError, match=r"transfer\.map names 'encoders', which is several parts; name each by itself: encoders\.image"
    ):
        config(model=SMALL, transfer={"map": {"encoders": "encoders.image"}})


def test_another_vocabulary_is_told_and_the_one_of_init_can_be_kept(
    tokenized: tuple[Artifact, Artifact], worded: Artifact, tmp_path: Path
) -> None:
    (_, other), given = tokenized, worded
    told = (
        "encoders.text: what was learned about text is not the same, so that a code means something else here (another tokenizer or "
        "vocabulary); set `fits: {text: init}` to read text as init does"
    )
    _, notes = trained(tmp_path / "b", other, {"init": given})
    assert f"not taken from init, begins anew: {told}" in notes
    with pytest.raises(InputError, match=re.escape(told)):
        trained(tmp_path / "c", other, {"init": given}, transfer={"take": ["encoders.text"]})
    model, _ = trained(tmp_path / "d", other, {"init": given}, transfer={"take": ["encoders.text"]}, fits={"text": "init"})
    for name in ("text.json", "tokenizer.json"):
        assert (model.path / "fits" / name).read_bytes() == (given.path / "fits" / name).read_bytes()
    assert load_model(model.path).readers["text"].read(b"thing") is not None


def test_inputs_and_settings_that_need_each_other_are_asked_for(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Artifact], str]] = [
        (
            {"transfer": {"take": ["trunk"]}},
            {},
            "transfer: there is no input `init` to take from; name a step or models:/NAME@ALIAS in `init:`",
        ),
        ({"fits": {"text": "init"}}, {}, "fits: there is no input `init` to take fits from"),
        ({"policy": "distillation"}, {}, "policy: 'distillation' learns from a teacher; name a step or models:/NAME@ALIAS in `teacher:`"),
        ({}, {"teacher": first}, "teacher: policy 'supervised' does not learn from a teacher; set `policy: distillation`, or leave"),
    ]
    for number, (changes, sources, sentence) in enumerate(cases):
        with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
            trained(tmp_path / str(number), shards, sources, **changes)
        assert any(problem.startswith(sentence) for problem in lint(config(**changes), {"given": frozenset(sources)}))


# ---- what is saved ------------------------------------------------------------------------------------------------------


def test_a_model_of_lora_and_average_is_saved_merged_and_gives_its_validation(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    model, _ = trained(
        tmp_path, shards, {"init": first}, epochs=2, lora={"parts": ["encoders.text", "trunk"], "rank": 2}, ema={"decay": 0.8}
    )
    assert weights(model).keys() == weights(first).keys()
    assert not torch.equal(weights(model)["trunk.layers.0.layers.1.weight"], weights(first)["trunk.layers.0.layers.1.weight"])
    loaded = load_model(model.path)
    assert json.loads((model.path / "model.json").read_bytes())["num_parameters"] == sum(each.numel() for each in loaded.model.parameters())
    total = weight = 0.0
    for batch in Loader(ShardSet.open(shards.path), "val", loaded.readers, loaded.labels, batch_size=8).evaluation():
        with torch.no_grad():
            outputs = loaded.model.outputs(batch.inputs, loaded.model.present_BM(batch))
        found = loaded.model.losses(outputs, batch)["shade"]
        total, weight = total + float(found.total), weight + float(found.weight)
    assert total / weight == pytest.approx(model.summary["val"]["shade"]["loss"], rel=1e-4)


# ---- a teacher ----------------------------------------------------------------------------------------------------------

PICTURE: dict[str, Any] = {"model": {"encoders": {"image": SMALL["encoders"]["image"]}}, "read": {"image": READ["image"]}}
TAUGHT: dict[str, Any] = {**PICTURE, "policy": {"kind": "distillation", "features": 0.1}}


def test_a_student_of_the_picture_learns_from_a_teacher_of_picture_and_text(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    given = weights(first)
    model, _ = trained(tmp_path, shards, {"teacher": first}, **TAUGHT)
    assert not any("text" in name for name in weights(model))
    assert load_model(model.path).modalities == ("image",)
    lines = [json.loads(line) for line in (model.path / "metrics.jsonl").read_text().splitlines()]
    curves = {name for line in lines for name in line}
    assert {f"train/teacher/{name}/loss" for name in ("shade", "height", "features")} <= curves
    folder = max((tmp_path / "work" / "checkpoints").glob("step-*"))
    assert set(load_file(folder / "policy.safetensors")) == {"project.weight", "project.bias"}
    assert all(torch.equal(value, given[name]) for name, value in weights(first).items())


def test_a_taught_training_goes_on_where_it_was_stopped_bit_for_bit(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    sources = Sources(teacher=first.path, init=first.path)

    def run(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        train_model(Job(config(**{**TAUGHT, "model": {**SMALL, **TAUGHT["model"]}}), shards.path, folder, seed=7, sources=sources), Ranks())

    run(tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    request_stop(tmp_path / "parts")
    with pytest.raises(Stopped):
        run(tmp_path / "parts")
    for path in (tmp_path / "parts").glob("*stop*"):
        path.unlink()
    run(tmp_path / "parts")
    assert digest(final_weights(tmp_path / "parts")) == digest(final_weights(tmp_path / "whole"))


def test_parts_of_a_taught_batch_learn_what_the_whole_does(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    still = {"dropout": 0.0}
    model = {
        "encoders": {"image": {**SMALL["encoders"]["image"], **still}},
        "fusion": {"kind": "concat", **still},
        "trunk": {"kind": "mlp", **still},
        "modality_dropout": 0.0,
    }
    found = []
    for parts in (1, 3):
        (tmp_path / str(parts)).mkdir()
        chosen = config(**{**TAUGHT, "model": {**SMALL, **model}, "accumulate": parts})
        run = start(Job(chosen, shards.path, tmp_path / str(parts), seed=7, sources=Sources(teacher=first.path)), Ranks())
        for batch in itertools.islice(run.train.epoch(0), 3):
            train_step(run, batch)
        found.append({name: value.clone() for name, value in run.policy.state_dict().items()})
    whole, cut = found
    for name, value in whole.items():
        assert (cut[name] - value).abs().max() < 1e-4, name


def test_a_teacher_that_reads_otherwise_is_refused_with_the_settings_to_change(shards: Artifact, first: Artifact, tmp_path: Path) -> None:
    told = (
        "teacher: it reads image otherwise than the student, and a batch is read once: size: [8, 8] (here [16, 16]); set these in "
        "`read.image` as the teacher has them"
    )
    with pytest.raises(InputError, match=f"^{re.escape(told)}"):
        trained(tmp_path, shards, {"teacher": first}, **{**TAUGHT, "read": {"image": {"size": [16, 16]}}})


def test_a_teacher_of_other_words_or_classes_is_refused(tokenized: tuple[Artifact, Artifact], worded: Artifact, tmp_path: Path) -> None:
    reads = {"policy": "distillation"}
    with pytest.raises(
        InputError, match=r"^teacher: what was learned about image .*set `fits: \{image: teacher\}`|set `fits: \{text: teacher\}`"
    ):
        trained(tmp_path / "a", tokenized[1], {"teacher": worded}, **reads)
    fits = {"fits": {"image": "teacher", "text": "teacher"}}
    with pytest.raises(
        LabelError, match=r"^head 'shade' has the classes black, grey, light in the shards and dark, grey, light in the teacher;"
    ):
        trained(tmp_path / "b", tokenized[1], {"teacher": worded}, **reads, **fits)
    model, _ = trained(tmp_path / "c", tokenized[1], {"teacher": worded}, policy={"kind": "distillation", "heads": ["height"]}, **fits)
    assert (model.path / "fits" / "tokenizer.json").read_bytes() == (worded.path / "fits" / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    "there", [{"modalities": ["image"], "fit_files": {"image": []}}, {"modalities": ["image", "text"], "fit_files": {"image": []}}]
)
def test_a_teacher_of_a_modality_that_the_shards_lack_is_refused(first: Artifact, there: dict[str, Any]) -> None:
    chosen, teacher = config(**TAUGHT), load_model(first.path)
    shards = SimpleNamespace(meta=there)
    student = Receiver(teacher.model, chosen, teacher.labels, {"image": fit_of(teacher, first.path, "image")})
    with pytest.raises(InputError, match=r"^teacher: it takes image, text, and no sample of the split 'train' has text; "):
        check_teacher(chosen, teacher, first.path, cast(ShardSet, shards), student)
