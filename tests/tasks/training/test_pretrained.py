"""A training that begins with weights from outside: where they are looked up, when they are refused, and that the model outlives them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.contracts import Artifact
from tasks.errors import InputError
from tasks.models.encoders.config_image import VitConfig
from tasks.models.encoders.vit import Vit
from tasks.models.load import load_model
from tasks.train import TrainConfig, identity, train
from tests.tasks.models.encoders.conftest import tiny_bert
from tests.tasks.training.example import config, context, write_shards

VIT = {"kind": "vit", "patch": 4, "layers": 1, "num_heads": 2, "hidden": 16, "feed_forward": 16, "weights": "vit.safetensors"}
SHAPE = {"channels": 3, "height": 8, "width": 8}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_shards(tmp_path_factory.mktemp("pretrained"))


def chosen(encoders: dict[str, Any]) -> TrainConfig:
    """Nothing is learned, so that the model ends with the weights that it began with."""
    still = {"learning_rate": 1e-12, "weight_decay": 0.0}
    return config(
        model={"encoders": encoders},
        epochs=1,
        optimizer=still,
        read={"text": {"max_tokens": 12}} if "text" in encoders else {"image": {"size": [8, 8]}},
    )


def begin(folder: Path, shards: Artifact, encoders: dict[str, Any]) -> Path:
    (folder / "out").mkdir(exist_ok=True)
    train(chosen(encoders), {"shards": shards}, folder / "out", context(folder))
    return folder / "out"


def save_vit(folder: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(11)
    weights = Vit(VitConfig.model_validate(VIT), SHAPE, 16).body.state_dict()
    save_file(weights, folder / "vit.safetensors")
    return weights


def test_it_begins_with_the_files_weights_and_the_model_needs_the_file_no_more(shards: Artifact, tmp_path: Path) -> None:
    given = save_vit(tmp_path)
    out = begin(tmp_path, shards, {"image": VIT})
    (tmp_path / "vit.safetensors").unlink()
    learned = load_file(out / "model.safetensors")
    for name, value in given.items():
        torch.testing.assert_close(learned[f"encoders.image_.body.{name}"], value, rtol=0, atol=1e-6)
    assert json.loads((out / "model.json").read_bytes())["model"]["encoders"]["image"]["weights"] == "vit.safetensors"
    assert load_model(out).modalities == ("image",)


def test_weights_that_do_not_fit_are_refused_before_anything_is_trained(shards: Artifact, tmp_path: Path) -> None:
    weights = save_vit(tmp_path)
    weights.pop("class_token")
    save_file(weights, tmp_path / "vit.safetensors")
    with pytest.raises(InputError, match="class_token is missing"):
        begin(tmp_path, shards, {"image": VIT})
    assert not (tmp_path / "work").exists()


def test_the_content_of_the_file_enters_the_key(tmp_path: Path) -> None:
    save_vit(tmp_path)
    before = identity(chosen({"image": VIT}), tmp_path)
    assert len(before["pretrained"]["image"]) == 64
    (tmp_path / "vit.safetensors").write_bytes(b"other")
    assert identity(chosen({"image": VIT}), tmp_path) != before
    assert "pretrained" not in identity(chosen({"image": "cnn"}), tmp_path)


def test_a_pretrained_folder_is_trained_on_and_the_model_outlives_it(shards: Artifact, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "bert")
    out = begin(tmp_path, shards, {"text": {"kind": "hf_text", "model": "bert"}})
    shutil.rmtree(tmp_path / "bert")
    description = json.loads((out / "model.json").read_bytes())["model"]["encoders"]["text"]
    assert (description["model"], description["architecture"]["hidden_size"]) == ("bert", 24)
    loaded = load_model(out)
    value = loaded.readers["text"].collate([loaded.readers["text"].read(b"a dark thing")])
    assert set(loaded.model({"text": value}, torch.ones(1, 1, dtype=torch.bool))) == {"shade", "height"}
