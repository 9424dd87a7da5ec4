"""Heads that say a text, from shards to a model folder and back: what was learned of the language goes along and needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from pipeline.store import LocalStore
from tasks.contracts import Artifact, ModalityBatch
from tasks.models.load import load_model
from tasks.models.predict import predict_records, texts
from tasks.train import train
from tasks.training.loop import train_model
from tasks.training.ranks import Ranks
from tasks.training.run import Job
from tests.tasks.shards.corpora import make_shards, write_corpus
from tests.tasks.training.example import config, context, picture, records, tone

HEADS: dict[str, Any] = {
    "written": {"kind": "ctc", "target": "text", "of": "audio", "beam_width": 4, "language_model": 0.3},
    "told": {"kind": "captioning", "target": "text", "layers": 1, "num_heads": 2, "beam_width": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained for an epoch, on shards whose text has a language model."""
    place = tmp_path_factory.mktemp("said")
    corpus = write_corpus(place / "corpus", records(), label_kinds={"height": "number"})
    fit = {"text": {"tokenizer": "byte", "language_model": {"order": 3}}}
    make_shards(place / "shards", corpus, LocalStore(place / "store"), prepare={"audio": {}, "image": {}, "text": {}}, fit=fit)
    encoders = {"audio": {"kind": "crnn", "channels": [8]}, "image": {"kind": "cnn", "channels": [8, 8]}}
    chosen = config(model={"encoders": encoders, "heads": HEADS}, epochs=1)
    (place / "work").mkdir()
    train_model(Job(chosen, place / "shards", place / "work", seed=7), Ranks())  # `train` finds it done and writes the model
    train(chosen, {"shards": Artifact("shards", "5" * 64, place / "shards")}, place / "model", context(place))
    return place / "model"


def test_a_model_has_its_language_model_and_says_texts_to_whoever_asks(folder: Path) -> None:
    assert (folder / "fits" / "ngrams.safetensors").exists()
    loaded = load_model(folder)
    language_model = cast(Any, loaded.model.head("written")).language_model
    assert language_model.order == 3
    said = predict_records(loaded, [{"image": picture(80, 0), "audio": tone(300, 0)}, {"image": picture(90, 1)}])
    for head in HEADS:
        assert all(isinstance(text, str) for text in said[head].values)
        assert said[head].probabilities == []


def test_two_openings_say_the_same_bit_for_bit(folder: Path) -> None:
    first, second = load_model(folder), load_model(folder)
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "audio": ModalityBatch(torch.randn(3, 13, 16, generator=generator), torch.tensor([13, 9, 1])),
        "image": ModalityBatch(torch.randn(3, 3, 8, 8, generator=generator)),
    }
    present_BM = torch.tensor([[True, True], [True, False], [False, True]])
    with torch.inference_mode():
        said = [each.model.predict(each.model(inputs, present_BM)) for each in (first, second)]
        paths = [each.model(inputs, present_BM)["written"].log_BTK for each in (first, second)]
    assert torch.equal(*paths)
    for head in HEADS:
        assert torch.equal(said[0][head], said[1][head])
        assert texts(said[0][head], first.readers["text"]) == texts(said[1][head], second.readers["text"])
