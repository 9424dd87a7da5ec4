"""Weights from outside in a whole model: where they lie, what they add to the key, and that a trained model needs them no more."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.errors import InputError
from tasks.models.config import ModelConfig
from tasks.models.fused import build_model
from tasks.models.pretrained import digests, load_pretrained, placed, with_architecture
from tests.tasks.models.encoders.conftest import tiny_bert
from tests.tasks.models.example import LABELS, SHAPES, config, inputs

VIT = {"kind": "vit", "patch": 4, "layers": 1, "num_heads": 2, "hidden": 16, "feed_forward": 16}


def chosen(**image: Any) -> ModelConfig:
    return config(encoders={"image": {**VIT, **image}, "text": "gru"})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(9)
    body = build_model(chosen(), SHAPES, LABELS).encoders["image_"].body
    save_file(body.state_dict(), tmp_path / "vit.safetensors")  # type: ignore[operator]
    return tmp_path / "vit.safetensors"


def test_weights_are_looked_up_beside_the_recipe_and_loaded_once(weights: Path) -> None:
    given = chosen(weights="vit.safetensors")
    assert placed(given, weights.parent).encoders["image"].weights == str(weights)
    assert placed(given, weights.parent).encoders["text"] == given.encoders["text"]
    torch.manual_seed(0)
    model = build_model(placed(given, weights.parent), SHAPES, LABELS)
    load_pretrained(model, {"image": None, "text": None})  # type: ignore[dict-item]
    found = model.encoders["image_"].body.state_dict()  # type: ignore[operator]
    assert all(torch.equal(found[name], value) for name, value in load_file(weights).items())


def test_a_model_is_built_without_the_file_so_that_a_trained_one_needs_it_no_more(tmp_path: Path) -> None:
    build_model(chosen(weights=str(tmp_path / "gone.safetensors")), SHAPES, LABELS)


def test_the_key_follows_the_content_of_the_file_and_not_its_place(weights: Path) -> None:
    given, elsewhere = chosen(weights="vit.safetensors"), chosen(weights=str(weights))
    before = digests(given, weights.parent)
    assert before == digests(elsewhere, Path("/nowhere"))
    assert set(before) == {"image"}
    weights.write_bytes(weights.read_bytes() + b" ")
    assert digests(given, weights.parent) != before
    assert digests(chosen(), weights.parent) == {}


def test_a_file_that_is_not_there_is_told_when_the_key_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.encoders\.image: there is no file .*vit\.pth; give a path relative to the recipe"):
        digests(chosen(weights="vit.pth"), tmp_path)


def test_a_pretrained_folder_leaves_its_architecture_in_the_config_and_its_files_in_the_key(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    given = config(encoders={"text": {"kind": "hf_text", "model": "bert"}})
    known = with_architecture(given, tmp_path)
    assert known.encoders["text"].model == "bert"
    assert known.encoders["text"].architecture["hidden_size"] == 24
    assert with_architecture(known, Path("/nowhere")) == known
    assert ModelConfig.model_validate(known.model_dump(mode="json")) == known
    before = digests(given, tmp_path)
    (folder / "notes.txt").write_text("not a part of it")
    assert digests(given, tmp_path) == before
    (folder / "tokenizer.json").write_text("{}")
    assert digests(given, tmp_path) != before


def test_a_model_of_the_hub_needs_its_commit_so_that_the_same_recipe_gives_the_same_model(tmp_path: Path) -> None:
    hub = {"kind": "hf_text", "model": "name/on-the-hub"}
    assert digests(config(encoders={"text": {**hub, "revision": "0" * 40}}), tmp_path) == {}
    with pytest.raises(InputError, match=r"encoders\.text: there is no folder .*name/on-the-hub; .* its commit in `revision:`"):
        digests(config(encoders={"text": hub}), tmp_path)
    with pytest.raises(ValueError, match="revision"):
        config(encoders={"text": {**hub, "revision": "main"}})


def test_a_whole_model_with_a_pretrained_part_answers_and_learns(tmp_path: Path) -> None:
    tiny_bert(tmp_path / "bert")
    given = with_architecture(config(encoders={"text": {"kind": "hf_text", "model": "bert", "dropout": 0.0}}), tmp_path)
    model = build_model(placed(given, tmp_path), SHAPES, LABELS)
    words = SimpleNamespace(spellings=lambda: ["<pad>", "<unk>", "<bos>", "<eos>", *["cat"] * 16])
    load_pretrained(model, {"text": words})  # type: ignore[dict-item]
    outputs = model({"text": inputs()["text"]}, torch.ones(4, 1, dtype=torch.bool))
    sum(output.square().sum() for output in outputs.values()).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
