"""Every head on every fusion, in a whole model: what must hold wherever two parts of the registries meet.

Encoders alone are in `encoders/test_contract.py`, heads alone in `test_heads_contract.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load, save

from tasks.contracts import ModalityBatch
from tasks.models.config import ModelConfig
from tasks.models.fused import FusedModel, build_model
from tasks.models.fusions import FUSIONS
from tasks.models.heads import HEADS
from tests.tasks.models.example import LABELS, SHAPES, config, inputs
from tests.tasks.models.heading import EXAMPLES

STILL = {"dropout": 0.0}
ENCODERS = {
    "audio": {"kind": "cnn_lstm", "channels": [8, 8], **STILL},
    "image": {"kind": "cnn", "channels": [8, 16], **STILL},
    "text": {"kind": "gru", **STILL},
}
SIZE = 4
REACHED = {"ctc": {"audio"}}
"""Head → the encoders that its loss reaches, where these are not all: a transcript is of one modality. The others get zeros."""


def whole_config(head: str, fusion: str) -> ModelConfig:
    """A head that learns to say a modality is not fed with it. Raises ValidationError for what cannot work together."""
    settings = EXAMPLES[head].settings
    encoders = {name: encoder for name, encoder in ENCODERS.items() if name != settings.get("target")}
    between = {"between": sorted(encoders)} if "between" in settings else {}
    heads = {"said": {"kind": head, **settings, **between}, **({"digit": "classification"} if head == "anomaly" else {})}
    return config(encoders=encoders, fusion={"kind": fusion, **STILL}, heads=heads, placement="late" if fusion == "voting" else "early")


def allowed(head: str, fusion: str) -> bool:
    try:
        whole_config(head, fusion)
    except ValidationError as error:
        assert {each["type"] for each in error.errors()} == {"value_error"}, "a row of the table, not a mistake in this test"
        return False
    return True


PAIRS = [(head, fusion) for head in HEADS for fusion in FUSIONS if allowed(head, fusion)]
CROSS = [(head, fusion) for head, fusion in PAIRS if head == "classification" or fusion == "attention"]


def model_of(head: str, fusion: str, seed: int = 0) -> FusedModel:
    torch.manual_seed(seed)
    return build_model(whole_config(head, fusion), SHAPES, {"said": EXAMPLES[head].label, "digit": LABELS["digit"]}).eval()


def given(fused: FusedModel, size: int = SIZE) -> dict[str, ModalityBatch]:
    """The text of the second sample is one token, its sound one frame: the least that readers give."""
    found = {name: each for name, each in inputs(SIZE).items() if name in fused.modalities}
    for each in found.values():
        if each.lengths is not None:
            each.lengths[1] = 1
    cut = slice(1, 1 + size) if size < SIZE else slice(None)
    return {name: ModalityBatch(each.values[cut], None if each.lengths is None else each.lengths[cut]) for name, each in found.items()}


def predicted(fused: FusedModel, present_BM: torch.Tensor, size: int = SIZE) -> torch.Tensor:
    with torch.no_grad():
        return fused.predict(fused(given(fused, size), present_BM))["said"]


def test_every_head_and_every_fusion_meets_some_other() -> None:
    assert {head for head, _ in PAIRS} == set(HEADS)
    assert {fusion for _, fusion in PAIRS} == set(FUSIONS)


@pytest.mark.parametrize(("head", "fusion"), CROSS)
def test_gradients_reach_every_encoder(head: str, fusion: str) -> None:
    fused = model_of(head, fusion).train()
    outputs = fused.outputs(given(fused), torch.ones(SIZE, len(fused.modalities), dtype=torch.bool))
    for name in outputs.heads:
        target: Any = EXAMPLES[head if name == "said" else "classification"].target()
        loss = fused.head(name).loss(outputs.heads[name], target, torch.ones(SIZE))
        assert loss.total.isfinite()
        loss.total.backward(retain_graph=True)
    for modality in fused.modalities:
        grads = [parameter.grad for parameter in fused.encoders[f"{modality}_"].parameters()]
        assert all(grad is not None and grad.isfinite().all() for grad in grads), modality
        reached = any(grad is not None and grad.abs().sum() > 0 for grad in grads)
        assert reached == (modality in REACHED.get(head, set(fused.modalities))), modality


@pytest.mark.parametrize(("head", "fusion"), PAIRS)
def test_a_sample_alone_is_answered_whatever_it_has(head: str, fusion: str) -> None:
    fused = model_of(head, fusion)
    count = len(fused.modalities)
    for present in [torch.ones(count), *torch.eye(count), torch.zeros(count)]:
        alone = predicted(fused, present[None] > 0, 1)
        together = predicted(fused, (present > 0).expand(SIZE, count))[1:2]
        assert alone.shape[0] == 1
        assert alone.isfinite().all()
        if alone.shape == together.shape:
            torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("head", "fusion"), CROSS)
def test_saved_and_loaded_it_answers_the_same_to_the_last_bit(head: str, fusion: str) -> None:
    fused, other, again = model_of(head, fusion), model_of(head, fusion, seed=1), model_of(head, fusion)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in fused.state_dict().items()), "one seed, one model"
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in fused.state_dict().items())
    other.load_state_dict(load(save({name: value.contiguous().clone() for name, value in fused.state_dict().items()})))
    present_BM = torch.ones(SIZE, len(fused.modalities), dtype=torch.bool)
    torch.testing.assert_close(predicted(other, present_BM), predicted(fused, present_BM), rtol=0, atol=0, equal_nan=True)
