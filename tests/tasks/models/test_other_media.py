"""Video, sensors and tables in a whole model. Their readers come later, so batches are made here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from tasks.contracts import Batch
from tasks.models.config import ModelConfig
from tasks.models.fused import FusedModel, build_model
from tests.tasks.models.encoders.example import SHAPES, values
from tests.tasks.models.example import LABELS, config

SIZE = 4
STILL = {"dropout": 0.0}
ANSWERED = {"digit": {"kind": "question_answering", "question": "text"}}
MODELS: dict[str, dict[str, Any]] = {
    "a question about a video": {"encoders": {"video": {"kind": "frame_cnn_lstm"}, "text": {"kind": "gru"}}, "heads": ANSWERED},
    "a question about a clip": {"encoders": {"video": {"kind": "cnn_3d"}, "text": {"kind": "transformer"}}, "heads": ANSWERED},
    "sensors beside a table": {"encoders": {"sensor": {"kind": "tcn"}, "table": {"kind": "feature_tokens"}}, "fusion": "cross_attention"},
    "all of them": {
        "encoders": {"video": {"kind": "video_transformer", "patch": 8}, "sensor": {"kind": "lstm"}, "table": {"kind": "mlp"}},
        "fusion": "graph",
        "placement": "hybrid",
        "trunk": "rnn",
    },
}


def model_config(name: str) -> ModelConfig:
    given = MODELS[name]
    return config(**{**given, "encoders": {modality: {**encoder, **STILL} for modality, encoder in given["encoders"].items()}})


def built(name: str) -> FusedModel:
    torch.manual_seed(0)
    chosen = model_config(name)
    return build_model(chosen, {modality: SHAPES[modality] for modality in chosen.encoders}, LABELS)


def batch(model: FusedModel) -> Batch:
    return Batch(
        keys=[f"k{number}" for number in range(SIZE)],
        inputs={modality: values(modality) for modality in model.modalities},
        present=torch.ones(SIZE, len(model.modalities), dtype=torch.bool),
        modalities=model.modalities,
        labels={"digit": torch.tensor([0, 1, 2, 1]), "height": torch.tensor([9.0, 10.0, 11.0, 12.0])},
        weight=torch.ones(SIZE),
    )


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_encoder_and_a_saved_model_says_the_same(name: str) -> None:
    model = built(name)
    given = batch(model)
    outputs = model.outputs(given.inputs, given.present)
    sum(loss.total for loss in model.losses(outputs, given).values()).backward()
    for modality in model.modalities:
        reached = [weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in model.encoders[f"{modality}_"].parameters()]
        assert any(reached), modality
    model.eval()
    again = built(name)
    again.load_state_dict(load(save(model.state_dict())))
    said, repeated = (each.predict(each(given.inputs, given.present)) for each in (model, again.eval()))
    for head, value in said.items():
        assert torch.equal(value, repeated[head])


@pytest.mark.parametrize("name", MODELS)
def test_one_sample_with_one_medium_is_answered_and_what_is_absent_says_nothing(name: str) -> None:
    model = built(name).eval()
    given = batch(model)
    for place, modality in enumerate(model.modalities):
        present = torch.zeros(SIZE, len(model.modalities), dtype=torch.bool)
        present[:, place] = True
        whole = model.predict(model(given.inputs, present))
        other = {**given.inputs, **{name: values(name, seed=1) for name in model.modalities if name != modality}}
        for head, value in model.predict(model(other, present)).items():
            torch.testing.assert_close(value, whole[head])
            assert value.isfinite().all()
