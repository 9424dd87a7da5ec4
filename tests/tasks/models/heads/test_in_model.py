"""Heads that learn from labels, alone in a fused model: gradients, single samples, missing modalities, saving and loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.contracts import Batch, ModalityBatch
from tasks.models.fused import FusedModel, build_model
from tests.tasks.models.example import SHAPES, batch, config
from tests.tasks.models.heading import EXAMPLES

ALONE = ("multi_label", "tagging", "localisation", "question_answering")


def model_of(kind: str, seed: int = 0) -> FusedModel:
    torch.manual_seed(seed)
    head = {"kind": kind, **EXAMPLES[kind].settings}
    return build_model(config(heads={"said": head}), SHAPES, {"said": EXAMPLES[kind].label}).eval()


def batch_of(kind: str, rows: slice = slice(0, 4)) -> Batch:
    given = batch()
    inputs = {
        name: ModalityBatch(each.values[rows], None if each.lengths is None else each.lengths[rows]) for name, each in given.inputs.items()
    }
    return replace(
        given,
        keys=given.keys[rows],
        inputs=inputs,
        present=given.present[rows],
        labels={"said": EXAMPLES[kind].target()[rows]},
        weight=given.weight[rows],
    )


@pytest.mark.parametrize("kind", ALONE)
def test_gradients_reach_every_parameter_even_with_one_head_alone(kind: str) -> None:
    fused, given = model_of(kind).train(), batch_of(kind)
    given.present[1] = torch.tensor([True, False, False])
    given.present[2] = torch.tensor([False, True, True])
    loss = fused.losses(fused.outputs(given.inputs, given.present), given)["said"]
    loss.total.backward()
    grads = {name: parameter.grad for name, parameter in fused.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()] == []
    for modality in fused.modalities:
        assert any(grad.abs().sum() > 0 for name, grad in grads.items() if grad is not None and name.startswith(f"encoders.{modality}_"))


@pytest.mark.parametrize("kind", ALONE)
@pytest.mark.parametrize("shown", ["audio", "image", "text"])
def test_one_sample_with_one_modality_is_learned_from_and_predicted(kind: str, shown: str) -> None:
    fused, given = model_of(kind), batch_of(kind, slice(0, 1))
    given.present[:] = torch.tensor([[name == shown for name in fused.modalities]])
    outputs = fused.outputs(given.inputs, given.present)
    loss = fused.losses(outputs, given)["said"]
    assert loss.total.isfinite()
    assert loss.weight == 1
    predicted = fused.predict(outputs.heads)["said"]
    assert len(predicted) == 1
    unseen = EXAMPLES[kind].settings.get("of", shown) != shown
    assert bool((predicted == -1).all()) == unseen


@pytest.mark.parametrize("kind", ALONE)
def test_weights_that_are_saved_and_loaded_predict_the_same_bit_for_bit(kind: str, tmp_path: Path) -> None:
    fused, other, given = model_of(kind), model_of(kind, seed=1), batch_of(kind)
    expected = fused.predict(fused(given.inputs, given.present))["said"]
    save_file(fused.state_dict(), tmp_path / "weights")
    assert not torch.equal(other.predict(other(given.inputs, given.present))["said"], expected)
    other.load_state_dict(load_file(tmp_path / "weights"))
    assert torch.equal(other.predict(other(given.inputs, given.present))["said"], expected)
