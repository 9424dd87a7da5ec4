"""A model folder: opened with nothing but its path, equal to the bit, and refused when it is not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.errors import CorruptArtifact, InputError
from tasks.models.fused import build_model
from tasks.models.load import load_model, load_weights, save_model
from tests.tasks.models.example import LABELS, SHAPES, config, inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved model of text and image, with fits as the shard step leaves them."""
    torch.manual_seed(0)
    chosen = config(encoders={"image": "cnn", "text": "gru"})
    shapes = {"image": SHAPES["image"], "text": {"vocab_size": 260, "max_tokens": 6}}
    fits = tmp_path / "fits"
    fits.mkdir()
    (fits / "image.json").write_text(json.dumps({"mean": [0.5] * 3, "std": [0.25] * 3}))
    (fits / "text.json").write_text(json.dumps({"tokenizer": "byte", "vocab_size": 260}))
    (fits / "other.bin").write_bytes(b"not of this model")
    description: dict[str, Any] = {
        "model": chosen.model_dump(mode="json"),
        "read": {"image": {"size": [8, 8]}, "text": {"max_tokens": 6}},
        "fit_files": {"image": [], "text": []},
        "shapes": shapes,
        "labels": LABELS,
        "modalities": ["image", "text"],
    }
    save_model(tmp_path / "model", build_model(chosen, shapes, LABELS).state_dict(), description, fits)
    return tmp_path / "model"


def test_a_loaded_model_answers_as_the_saved_one_bit_for_bit(folder: Path) -> None:
    torch.manual_seed(0)
    chosen = config(encoders={"image": "cnn", "text": "gru"})
    original = build_model(chosen, {"image": SHAPES["image"], "text": {"vocab_size": 260, "max_tokens": 6}}, LABELS).eval()
    loaded = load_model(folder)
    present_BM = torch.tensor([[True, True], [True, False], [False, True], [True, True]])
    expected, found = original(inputs(), present_BM), loaded.model(inputs(), present_BM)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not loaded.model.training
    assert loaded.config == chosen
    assert loaded.modalities == ("image", "text")
    assert loaded.labels == LABELS


def test_a_loaded_model_brings_its_readers(folder: Path) -> None:
    readers = load_model(folder).readers
    assert readers["text"].shape["vocab_size"] == 260
    ids = readers["text"].collate([readers["text"].read(b"ab"), None])
    assert ids.lengths is not None
    assert ids.lengths.tolist() == [2, 1]


def test_only_the_models_own_fits_are_copied_and_nothing_is_pickled(folder: Path) -> None:
    assert {path.name for path in (folder / "fits").iterdir()} == {"image.json", "text.json"}
    assert {path.name for path in folder.iterdir()} == {"fits", "model.json", "model.safetensors"}


def test_harmed_folders_are_refused_by_name(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    with pytest.raises(CorruptArtifact, match=r"model\.safetensors cannot be read"):
        load_model(folder)
    weights.write_bytes(whole)
    (folder / "fits" / "text.json").unlink()
    with pytest.raises(CorruptArtifact, match="what was learned about text"):
        load_model(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(CorruptArtifact, match=r"model\.json cannot be read"):
        load_model(folder)


def without(*keys: str) -> Any:
    """A change of model.json: what these keys lead to is taken out."""

    def change(description: dict[str, Any]) -> Any:
        for key in keys[:-1]:
            description = description[key]
        del description[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("model"), "'model' is missing"),
        (without("shapes"), "'shapes' is missing"),
        (without("read"), "'read' is missing"),
        (without("fit_files"), "'fit_files' is missing"),
        (without("labels", "digit"), "head 'digit' has no label"),
        (without("shapes", "image"), "'image' is missing"),
        (lambda description: description["model"].update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda description: description["model"]["encoders"]["image"].update(kind="foo"), "encoders.image: kind 'foo' is not known"),
        (lambda description: description["read"].update(smell={}), "'smell' is missing"),
        (lambda description: description.update(shapes=[1]), "list indices"),
    ],
)
def test_a_description_that_is_not_whole_is_told_in_one_sentence(folder: Path, change: Any, problem: str) -> None:
    description = json.loads((folder / "model.json").read_bytes())
    change(description)
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(
        CorruptArtifact, match=rf"or another Medley wrote them \({problem}.*\); restore the folder, open it with the Medley"
    ):
        load_model(folder)


@pytest.mark.parametrize("content", ["[]", "null", '{"format": "1"}'])
def test_what_describes_no_model_is_told(folder: Path, content: str) -> None:
    (folder / "model.json").write_text(content)
    with pytest.raises(CorruptArtifact, match=r"model\.json is no description of a model; restore the file or train it again"):
        load_model(folder)


def test_a_newer_format_is_refused(folder: Path) -> None:
    description = json.loads((folder / "model.json").read_bytes())
    (folder / "model.json").write_text(json.dumps(description | {"format": 2}))
    with pytest.raises(InputError, match="format 2, this Medley reads up to 1"):
        load_model(folder)


def test_weights_of_another_architecture_are_refused_with_what_does_not_fit() -> None:
    fused = build_model(config(), SHAPES, LABELS)
    weights = dict(fused.state_dict())
    weights["heads.digit_.linear.weight"] = torch.zeros(7, 16)
    weights["stranger"] = weights.pop("heads.height_.linear.bias")
    with pytest.raises(CorruptArtifact) as caught:
        load_weights(fused, weights, "model x")
    for sentence in (
        "heads.height_.linear.bias is missing",
        "stranger is not a part of this model",
        "heads.digit_.linear.weight has shape [7, 16], needs [3, 16]",
    ):
        assert sentence in str(caught.value)
